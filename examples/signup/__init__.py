"""A sign-up service whose slow work is done by background tasks."""
