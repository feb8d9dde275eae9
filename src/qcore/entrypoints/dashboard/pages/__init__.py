"""The pages of the dashboard: each module declares its routes in `ROUTES`."""
