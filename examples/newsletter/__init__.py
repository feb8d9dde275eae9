"""A newsletter: a Flask application with a factory, whose e-mails are background tasks."""
