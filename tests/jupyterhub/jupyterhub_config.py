# JupyterHub behind portcullis: who somebody is, and whether an administrator, comes from the headers portcullis sets.
#
# The hub has to listen where only portcullis reaches it (127.0.0.1 here): whoever reaches it directly could write the headers themselves.

import os
from pathlib import Path

from jupyterhub.auth import Authenticator
from jupyterhub.handlers import BaseHandler

HERE = Path(__file__).resolve().parent
ADMIN_ROLE = os.environ.get("HUB_ADMIN_ROLE", "admin")


class HeaderLogin(BaseHandler):
    """There is nothing to type: portcullis has asked already."""

    async def get(self):
        before = self.get_current_user_cookie()
        told = self.authenticator.told(self)
        if before and told and before.name != told["name"]:
            self.clear_login_cookie()  # somebody else sat here before: their notebook's tokens end too
        user = await self.login_user({})
        if user is None:
            self.set_status(403)
            self.finish("portcullis sent no login name\n")
            return
        self.redirect(self.get_next_url(user))


class PortcullisAuthenticator(Authenticator):
    auto_login = True
    allow_all = True  # who may come in at all is decided by the policy

    def login_url(self, base_url):
        return base_url.rstrip("/") + "/portcullis"

    def get_handlers(self, app):
        return [("/portcullis", HeaderLogin)]

    def told(self, handler):
        """What portcullis says of the request's person, or None where it says nobody."""
        name = handler.request.headers.get("X-Portcullis-Login", "")
        roles = handler.request.headers.get("X-Portcullis-Roles", "").split(",")
        return {"name": self.normalize_username(name), "admin": ADMIN_ROLE in roles} if name else None

    async def authenticate(self, handler, data):
        return self.told(handler)

    async def refresh_user(self, user, handler=None):
        """Asked with every request (auth_refresh_age): a role that changed counts at once, another person starts anew."""
        told = handler and self.told(handler)
        if told is None:  # the hub itself, or a notebook server that asks the hub: neither comes through portcullis
            return True
        if told["name"] != user.name:
            return False
        return True if told["admin"] == user.admin else told


c = get_config()  # noqa: F821
c.JupyterHub.authenticator_class = PortcullisAuthenticator
# Below zero: never fresh enough, so each request is looked at. It costs two headers.
c.Authenticator.auth_refresh_age = -1
c.JupyterHub.bind_url = os.environ.get("HUB_BIND", "http://127.0.0.1:8000")
c.JupyterHub.hub_bind_url = os.environ.get("HUB_API", "http://127.0.0.1:8081")
c.ConfigurableHTTPProxy.api_url = os.environ.get("HUB_PROXY_API", "http://127.0.0.1:8001")
# Signing out of the hub signs out of portcullis, which ends the session everywhere.
c.Authenticator.logout_redirect_url = "/.portcullis/sign-out"
c.JupyterHub.cookie_secret_file = os.path.abspath("cookie_secret")
c.JupyterHub.db_url = "sqlite:///hub.sqlite"

# Everybody's notebooks run as the user the hub runs as: right for a trial, not for strangers. See JupyterHub's pages about spawners.
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = os.path.abspath("home") + "/{username}"
c.Spawner.default_url = "/lab"
c.Spawner.http_timeout = 120
c.Spawner.start_timeout = 120
# Each notebook server asks portcullis's header too; portcullis_notebook.py stands beside this file.
c.Spawner.environment = {"PYTHONPATH": str(HERE)}
c.Spawner.args = ["--ServerApp.jpserver_extensions=portcullis_notebook=True"] + (["--allow-root"] if os.geteuid() == 0 else [])
