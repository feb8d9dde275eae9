import os
from pathlib import Path

import django

BASE_DIR = Path(__file__).parents[1]
DEBUG = True
SECRET_KEY = os.environ.get("SECRET_KEY", "an example has no secrets")
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# tasks of Django itself came with its version 6; before, django-tasks has them
HAS_TASKS = django.VERSION >= (6,)

CONSOLE = "django.core.mail.backends.console.EmailBackend"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": CONSOLE}}
else:
    EMAIL_BACKEND = CONSOLE

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    *([] if HAS_TASKS else ["django_tasks"]),
    "qcore.django",
    "orders",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": os.environ.get("SHOP_FILE", BASE_DIR / "shop.db"),
    "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
}
POSTGRES = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": os.environ.get("PGDATABASE", "shop"),
    "USER": os.environ.get("PGUSER", "postgres"),
    "PASSWORD": os.environ.get("PGPASSWORD", ""),
    "HOST": os.environ.get("PGHOST", ""),
    "PORT": os.environ.get("PGPORT", ""),
}
DATABASES = {"default": POSTGRES if "PGHOST" in os.environ else SQLITE}

# tasks wait beside the tables of the shop, and are a part of its transactions
QCORE = {
    "DATABASE": "default",
    "DEFAULTS": {"max_retry": 5, "retention": 3600},
    "DASHBOARD": {"environment": "example"},
}
TASKS = {
    "default": {
        "BACKEND": f"qcore.django.{'QcoreBackend' if HAS_TASKS else 'BackportBackend'}",
        "QUEUES": ["default", "warehouse"],
    }
}
