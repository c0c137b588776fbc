# JupyterHub behind portcullis: who somebody is, and whether an administrator, comes from the headers portcullis sets.
#
# The hub has to listen where only portcullis reaches it (127.0.0.1 here): whoever reaches it directly could write the headers themselves.

import os

from jupyterhub.auth import Authenticator
from jupyterhub.handlers import BaseHandler

ADMIN_ROLE = os.environ.get("HUB_ADMIN_ROLE", "admin")


class HeaderLogin(BaseHandler):
    """There is nothing to type: portcullis has asked already."""

    async def get(self):
        user = await self.login_user({})
        if user is None:
            self.set_status(403)
            self.finish("portcullis sent no login name\n")
            return
        self.redirect(self.get_next_url(user))


class PortcullisAuthenticator(Authenticator):
    auto_login = True
    allow_all = True  # who may come in at all is decided by the policy
    manage_roles = False

    def login_url(self, base_url):
        return base_url.rstrip("/") + "/portcullis"

    def get_handlers(self, app):
        return [("/portcullis", HeaderLogin)]

    @staticmethod
    def told(handler):
        name = handler.request.headers.get("X-Portcullis-Login", "")
        roles = handler.request.headers.get("X-Portcullis-Roles", "").split(",")
        return {"name": name, "admin": ADMIN_ROLE in roles} if name else None

    async def authenticate(self, handler, data):
        return self.told(handler)

    async def refresh_user(self, user, handler=None):
        """Asked with every request (auth_refresh_age): a role that changed counts at once, another person starts anew."""
        if handler is None:  # the hub itself asks, outside any request
            return True
        told = self.told(handler)
        if told is None:  # a single-user server talking to the hub: not through portcullis
            return True
        if self.normalize_username(told["name"]) != user.name:
            return False
        return True if told["admin"] == user.admin else {"name": user.name, "admin": told["admin"]}


c = get_config()  # noqa: F821
c.JupyterHub.authenticator_class = PortcullisAuthenticator
c.Authenticator.auth_refresh_age = 1
c.JupyterHub.bind_url = os.environ.get("HUB_BIND", "http://127.0.0.1:8000")
c.JupyterHub.hub_bind_url = os.environ.get("HUB_API", "http://127.0.0.1:8081")
c.ConfigurableHTTPProxy.api_url = os.environ.get("HUB_PROXY_API", "http://127.0.0.1:8001")
c.ConfigurableHTTPProxy.command = os.environ.get("HUB_PROXY", "configurable-http-proxy").split()
c.JupyterHub.cookie_secret_file = os.path.abspath("cookie_secret")
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
# Everybody's notebooks run as the user the hub runs as: right for a trial, not for strangers. See JupyterHub's page about spawners.
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = os.path.abspath("home") + "/{username}"
c.Spawner.default_url = "/lab"
c.Spawner.args = ["--allow-root"] if os.geteuid() == 0 else []
c.Spawner.http_timeout = 120
c.Spawner.start_timeout = 120
