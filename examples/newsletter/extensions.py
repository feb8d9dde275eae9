"""What the application is made of. Nothing here knows an application: `init_app` is told of one."""

from flask_sqlalchemy import SQLAlchemy

from qcore import Qcore
from qcore.flask import FlaskQcore

db = SQLAlchemy()

q = Qcore.later(defaults={"max_retry": 5})
queue = FlaskQcore(q)
