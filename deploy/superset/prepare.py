"""Puts the dashboards into a Superset, in place of earlier ones, and gives it a login.

Runs in Superset's own environment, started by `scripts.superset`. The zip file comes from standard
input and the password from a variable, because both are secrets. The command `import-dashboards`
would leave databases, datasets and charts that exist as they are.
"""

import os
import sys
from io import BytesIO
from zipfile import ZipFile

from superset.app import create_app

USER = "admin"


def main() -> None:
    bundle = ZipFile(BytesIO(sys.stdin.buffer.read()))
    with create_app().app_context():
        # Superset's modules can be imported within its context only.
        from superset import security_manager
        from superset.commands.importers.v1.assets import ImportAssetsCommand
        from superset.commands.importers.v1.utils import get_contents_from_bundle
        from superset.utils.core import override_user

        password = os.environ["SUPERSET_ADMIN_PASSWORD"]
        user = security_manager.find_user(USER)
        if user is None:
            role = security_manager.find_role("Admin")
            names = (USER, USER, USER, "admin@localhost")
            user = security_manager.add_user(*names, role, password=password)
        with override_user(user):
            ImportAssetsCommand(get_contents_from_bundle(bundle)).run()


if __name__ == "__main__":
    main()
