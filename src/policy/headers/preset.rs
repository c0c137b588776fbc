//! Header names that kinds of applications expect their user under.

use http::HeaderName;

use crate::model::role::words;

use super::{Content, Variable};

words!(
    /// Names that a kind of application expects its user under.
    Preset {
        /// None: only `X-Portcullis-*`.
        None = "none",
        /// Grafana's proxy authentication.
        Grafana = "grafana",
        /// Gitea's reverse-proxy authentication.
        Gitea = "gitea",
        /// The same for Forgejo.
        Forgejo = "forgejo",
        /// Jenkins' reverse-proxy plugin.
        Jenkins = "jenkins",
        /// SonarQube's header authentication.
        Sonarqube = "sonarqube",
        /// NetBox.
        Netbox = "netbox",
        /// Nautobot.
        Nautobot = "nautobot",
        /// OpenSearch Dashboards.
        OpensearchDashboards = "opensearch-dashboards",
        /// `Remote-User` and its family.
        RemoteUser = "remote-user",
        /// What oauth2-proxy sends.
        Oauth2Proxy = "oauth2-proxy",
        /// Apache Guacamole.
        Guacamole = "guacamole",
        /// JupyterHub's remote-user authenticator.
        JupyterhubRemoteUser = "jupyterhub-remote-user",
        /// RStudio Server.
        Rstudio = "rstudio",
        /// Open WebUI.
        OpenWebui = "open-webui",
        /// Home Assistant's header-auth add-on.
        HomeAssistant = "home-assistant",
        /// Applications that read an environment variable a local web server sets.
        WsgiEnv = "wsgi-env",
        /// `Authorization: Basic user:-`
        Basic = "basic",
    }
);

impl Preset {
    /// The names of the preset and what each carries.
    pub(super) fn names(self) -> &'static [(&'static str, Content)] {
        const LOGIN: Content = Content::Variable(Variable::UserLogin);
        const EMAIL: Content = Content::Variable(Variable::UserEmail);
        const NAME: Content = Content::Variable(Variable::UserName);
        const ROLES: Content = Content::Variable(Variable::Roles);
        match self {
            Self::None => &[],
            Self::Grafana => &[
                ("x-webauth-user", LOGIN),
                ("x-webauth-email", EMAIL),
                ("x-webauth-name", NAME),
                ("x-webauth-groups", ROLES),
            ],
            Self::Gitea | Self::Forgejo => &[("x-webauth-user", LOGIN), ("x-webauth-email", EMAIL), ("x-webauth-fullname", NAME)],
            Self::Jenkins => &[
                ("x-forwarded-user", LOGIN),
                ("x-forwarded-mail", EMAIL),
                ("x-forwarded-displayname", NAME),
                ("x-forwarded-groups", ROLES),
            ],
            Self::Sonarqube => &[
                ("x-forwarded-login", LOGIN),
                ("x-forwarded-email", EMAIL),
                ("x-forwarded-name", NAME),
                ("x-forwarded-groups", ROLES),
            ],
            Self::Netbox | Self::Nautobot => &[("remote-user", LOGIN), ("remote-user-email", EMAIL), ("remote-user-group", ROLES)],
            Self::OpensearchDashboards => &[("x-proxy-user", LOGIN), ("x-proxy-roles", ROLES)],
            Self::RemoteUser => &[
                ("remote-user", LOGIN),
                ("remote-email", EMAIL),
                ("remote-name", NAME),
                ("remote-groups", ROLES),
            ],
            Self::Oauth2Proxy => &[
                ("x-forwarded-user", LOGIN),
                ("x-forwarded-email", EMAIL),
                ("x-forwarded-preferred-username", LOGIN),
                ("x-forwarded-groups", ROLES),
            ],
            Self::Guacamole | Self::JupyterhubRemoteUser => &[("remote_user", LOGIN)],
            Self::Rstudio => &[("x-rstudio-username", LOGIN)],
            Self::OpenWebui => &[("x-forwarded-email", EMAIL), ("x-forwarded-name", NAME)],
            Self::HomeAssistant => &[("x-forwarded-preferred-username", LOGIN)],
            Self::WsgiEnv => &[("remote-user", LOGIN)],
            Self::Basic => &[("authorization", Content::Basic)],
        }
    }

    /// The header names an application with this preset trusts.
    pub fn header_names(self) -> impl Iterator<Item = HeaderName> {
        self.names().iter().map(|(name, _)| HeaderName::from_static(name))
    }

    /// What parts the entries of a list.
    #[must_use]
    pub const fn separator(self) -> &'static str {
        match self {
            Self::Jenkins | Self::Netbox | Self::Nautobot => "|",
            _ => ",",
        }
    }
}
