"""A notebook server behind portcullis: its cookie counts only for the person portcullis says is asking.

JupyterHub gives each notebook server a cookie of its own that outlives a session of portcullis. On a shared computer the next person to sign in
would still have it. With this extension a cookie of somebody else is no cookie, and the hub is asked who they are.
"""

from jupyterhub.singleuser.extension import JupyterHubIdentityProvider


def _jupyter_server_extension_points():
    return [{"module": "portcullis_notebook"}]


def _load_jupyter_server_extension(server):
    ask_the_hub = JupyterHubIdentityProvider.get_user

    async def get_user(self, handler):
        user = await ask_the_hub(self, handler)
        asking = handler.request.headers.get("X-Portcullis-Login", "")
        # Without the header the request did not come through portcullis: the hub itself looks whether the server is up.
        if user is not None and asking and asking.lower() != user.username:
            handler._jupyterhub_user = None
            return None
        return user

    JupyterHubIdentityProvider.get_user = get_user
