"""An application that tells its alerts to the URL that HOOK names, looking each second."""

import os

from qcore import Qcore
from qcore.alerts import NoWorker, send_alerts

q = Qcore()
send_alerts(q, os.environ["HOOK"], environment="staging", rules=[NoWorker()], every=1)
