"""What people would put in front of their applications instead, each set up to do its best, and the upstream that all of them share."""
import base64, datetime, os, re, secrets, shutil, subprocess, sys, tempfile, time, urllib.parse

from measure import free_port, http_get, spawn, tree, wait_port

USER_HEADER = "X-Portcullis-User"
VARIABLE = USER_HEADER.lower().replace("-", "_")
# The session that the cheap auth services know.
TOKEN = "__Host-pc=q0dqPzv9fXb3wq0Q1mXw7uW3h0mB1h9T2l7d4VJ1c8E"
VALUE = TOKEN.split("=", 1)[1]

NGINX = """daemon off; pid {d}/pid; error_log {d}/err crit; worker_processes {threads}; worker_rlimit_nofile 20000;
events {{ worker_connections 18000; multi_accept on; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600; client_max_body_size 0; sendfile on; tcp_nodelay on;
client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3; uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5;
"""
WHO = """map_hash_bucket_size 128;
map $http_cookie $token {{ default ""; "~(?:^|; ?)__Host-pc=(?<t>[A-Za-z0-9_-]+)" $t; }}
map $token $who {{ default ""; {value} user7; }}
"""


def write(path, text):
    with open(path, "w") as f: f.write(text)


def upstream(work, cpus):
    """an application that answers as fast as can be; returns its port, and a folder of its own in memory"""
    d = os.path.join(work, "upstream")
    os.makedirs(d)
    shm = tempfile.mkdtemp(prefix="portcullis-bench", dir="/dev/shm")
    os.chmod(shm, 0o755)
    with open(f"{shm}/64k", "wb") as f: f.write(os.urandom(65536))
    with open(f"{shm}/100m", "wb") as f: f.truncate(100 << 20)
    port = free_port()
    write(f"{d}/nginx.conf", NGINX.format(d=d, threads=1) + f"""
server {{ listen 127.0.0.1:{port} backlog=4096; root {shm};
 location = /1k {{ default_type text/plain; return 200 "{'k' * 1024}"; }}
 location = /upload {{ return 200 "ok"; }}
 location = /hdr {{ default_type text/plain; return 200 "$http_{VARIABLE}|$http_cookie"; }} }} }}""")
    process = spawn(["nginx", "-p", d, "-c", f"{d}/nginx.conf"], cpus, logfile=f"{d}/log")
    wait_port(port)
    return port, shm, process


class Contestant:
    """start() fills port, roots and, where it asks for one, the cookie"""
    needs = ()
    package = ""

    def __init__(self, name, tls=False, auth=False):
        self.base, self.name, self.tls, self.auth = name, name + (" tls" if tls else ""), tls, auth
        self.cookie, self.roots, self.port = (TOKEN if auth else None), [], None

    def folder(self, env):
        self.dir = os.path.join(env.work, re.sub(r"\W", "_", self.name))
        os.makedirs(self.dir)
        self.port = free_port()
        return self.dir

    def pids(self):
        return [pid for root in self.roots for pid in tree(root.pid)]

    def missing(self):
        return [need for need in self.needs if not shutil.which(need)]

    def check(self):
        """what is wrong with it: who does not do the work does not count"""
        end = time.time() + 20
        fields = {"Cookie": self.cookie} if self.cookie else {}
        while True:
            try:
                status, body = http_get(self.port, "/1k", fields, self.tls)
                if status == 200: break
                wrong = f"status {status}"
            except OSError as error: wrong = str(error)
            if time.time() > end or any(root.poll() is not None for root in self.roots): return f"did not start: {wrong}"
            time.sleep(0.1)
        if body != b"k" * 1024: return "a wrong body"
        if self.auth:
            if http_get(self.port, "/1k", {}, self.tls)[0] == 200: return "lets a request without a cookie through"
            status, body = http_get(self.port, "/hdr", {**fields, USER_HEADER: "evil"}, self.tls)
            user = body.split(b"|")[0]
            if not user or b"evil" in user: return f"the application was told that {user!r} asks"
        return None


class Nginx(Contestant):
    needs, package = ("nginx",), "nginx"

    def start(self, env):
        d, asked = self.folder(env), free_port()
        listen = f"127.0.0.1:{self.port} backlog=4096"
        if self.tls: listen += f" ssl; ssl_certificate {env.cert}; ssl_certificate_key {env.key}; ssl_session_cache shared:s:4m; ssl_protocols TLSv1.2 TLSv1.3"
        ask = f"auth_request /_auth; auth_request_set $u $upstream_http_{VARIABLE}; proxy_set_header {USER_HEADER} $u;" if self.auth else ""
        service = f"""server {{ listen 127.0.0.1:{asked} backlog=4096;
 location / {{ if ($who = "") {{ return 401; }} add_header {USER_HEADER} $who; return 200; }} }}""" if self.auth else ""
        write(f"{d}/nginx.conf", NGINX.format(d=d, threads=env.threads) + WHO.format(value=VALUE) + f"""
map $http_upgrade $upgrading {{ default upgrade; '' ''; }}
upstream app {{ server 127.0.0.1:{env.upstream}; keepalive 1024; keepalive_requests 100000000; }}
upstream auth {{ server 127.0.0.1:{asked}; keepalive 1024; keepalive_requests 100000000; }}
upstream echo {{ server 127.0.0.1:{env.echo}; }}
proxy_http_version 1.1; proxy_request_buffering off;
server {{ listen {listen};
 location / {{ {ask} proxy_pass http://app; proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; }}
 location /ws {{ {ask} proxy_pass http://echo; proxy_set_header Connection $upgrading; proxy_set_header Upgrade $http_upgrade; }}
 location = /_auth {{ internal; proxy_pass http://auth/auth; proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_set_header Connection ""; }} }}
{service} }}""")
        self.roots = [spawn(["nginx", "-p", d, "-c", f"{d}/nginx.conf"], env.proxy_cpus, logfile=f"{d}/log")]


class Haproxy(Contestant):
    needs, package = ("haproxy",), "haproxy"

    def start(self, env):
        d = self.folder(env)
        write(f"{d}/pem", open(env.cert).read() + open(env.key).read())
        write(f"{d}/map", "".join(f"x{i:043d} user{i}\n" for i in range(10000)) + f"{VALUE} user7\n")
        judge = f"""  acl known req.cook(__Host-pc),map_str({d}/map) -m found
  acl near src 10.0.0.0/8 192.168.0.0/16 127.0.0.0/8
  http-request deny deny_status 401 unless known
  http-request deny deny_status 403 unless near
  http-request set-header {USER_HEADER} %[req.cook(__Host-pc),map_str({d}/map)]""" if self.auth else ""
        write(f"{d}/haproxy.cfg", f"""global
  maxconn 9000
  nbthread {env.threads}
  tune.ssl.default-dh-param 2048
defaults
  mode http
  timeout client 600s
  timeout server 600s
  timeout connect 5s
  timeout tunnel 600s
  option http-keep-alive
  http-reuse always
frontend f
  bind 127.0.0.1:{self.port} backlog 4096 {f'ssl crt {d}/pem alpn http/1.1' if self.tls else ''}
{judge}
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto {'https' if self.tls else 'http'}
  use_backend echo if {{ path_beg /ws }}
  default_backend app
backend app
  server s 127.0.0.1:{env.upstream} pool-max-conn 2000
backend echo
  server s 127.0.0.1:{env.echo}
""")
        self.roots = [spawn(["haproxy", "-f", f"{d}/haproxy.cfg", "-db"], env.proxy_cpus, logfile=f"{d}/log")]


class Caddy(Contestant):
    needs, package = ("caddy", "nginx"), "caddy"

    def start(self, env):
        d, ask = self.folder(env), ""
        if self.auth:   # the cheapest auth service there is, counted with caddy: one nginx worker with a map
            asked, service = free_port(), os.path.join(d, "auth")
            os.makedirs(service)
            write(f"{service}/nginx.conf", NGINX.format(d=service, threads=1) + WHO.format(value=VALUE) + f"""
server {{ listen 127.0.0.1:{asked}; location / {{ if ($who = "") {{ return 401; }} add_header {USER_HEADER} $who; return 200; }} }} }}""")
            self.roots.append(spawn(["nginx", "-p", service, "-c", f"{service}/nginx.conf"], env.proxy_cpus, logfile=f"{d}/auth.log"))
            ask = f"forward_auth 127.0.0.1:{asked} {{\n  uri /auth\n  copy_headers {USER_HEADER}\n }}"
        write(f"{d}/Caddyfile", f"""{{
 admin off
 auto_https off
 servers {{
  protocols h1 h2
 }}
}}
{'https' if self.tls else 'http'}://:{self.port} {{
 bind 127.0.0.1
 {f'tls {env.cert} {env.key}' if self.tls else ''}
 {ask}
 @ws path /ws*
 reverse_proxy @ws 127.0.0.1:{env.echo}
 reverse_proxy 127.0.0.1:{env.upstream} {{
  transport http {{
   keepalive 600s
   keepalive_idle_conns_per_host 1024
   keepalive_idle_conns 2048
   compression off
  }}
 }}
}}
""")
        home = {"GOMAXPROCS": str(env.threads), "HOME": d, "XDG_DATA_HOME": d, "XDG_CONFIG_HOME": d}
        self.roots.append(spawn(["caddy", "run", "--config", f"{d}/Caddyfile", "--adapter", "caddyfile"], env.proxy_cpus, env=home, logfile=f"{d}/log"))


class Mellon(Contestant):
    """Apache with mod_auth_mellon, and somebody signed in to it by a SAML response that is signed here"""
    needs, package = ("apache2", "xmlsec1", "openssl"), "apache2 libapache2-mod-auth-mellon xmlsec1"
    MODULES = "/usr/lib/apache2/modules"

    def missing(self):
        return super().missing() + ([] if os.path.exists(f"{self.MODULES}/mod_auth_mellon.so") else ["libapache2-mod-auth-mellon"])

    def start(self, env):
        d = self.folder(env)
        site, provider = f"http://127.0.0.1:{self.port}", "http://idp.example/metadata"
        for name in ("sp", "idp"):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{d}/{name}.key", "-out", f"{d}/{name}.crt", "-days", "2", "-subj", f"/CN={name}.example"], check=True, capture_output=True)
        certificate = {name: "".join(open(f"{d}/{name}.crt").read().split("\n")[1:-2]) for name in ("sp", "idp")}
        key = lambda name: f'<KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>{certificate[name]}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></KeyDescriptor>'
        spec = 'xmlns="urn:oasis:names:tc:SAML:2.0:metadata"'
        write(f"{d}/sp.xml", f"""<EntityDescriptor {spec} entityID="{site}/mellon/metadata"><SPSSODescriptor AuthnRequestsSigned="true" WantAssertionsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">{key('sp')}
<AssertionConsumerService index="0" isDefault="true" Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="{site}/mellon/postResponse"/></SPSSODescriptor></EntityDescriptor>""")
        write(f"{d}/idp.xml", f"""<EntityDescriptor {spec} entityID="{provider}"><IDPSSODescriptor WantAuthnRequestsSigned="false" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">{key('idp')}
<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="http://idp.example/sso"/></IDPSSODescriptor></EntityDescriptor>""")
        modules = "mpm_event authn_core authz_core authz_user headers proxy proxy_http auth_mellon"
        load = "\n".join(f"LoadModule {name}_module {self.MODULES}/mod_{name}.so" for name in modules.split())
        write(f"{d}/apache.conf", f"""ServerRoot {d}
PidFile {d}/pid
Listen 127.0.0.1:{self.port}
ServerName 127.0.0.1
{load}
ErrorLog {d}/err
User www-data
Group www-data
DefaultRuntimeDir {d}
Mutex pthread
MaxKeepAliveRequests 0
KeepAliveTimeout 600
StartServers 1
ServerLimit 1
ThreadsPerChild 600
ThreadLimit 600
MaxRequestWorkers 600
MellonCacheSize 10000
MellonLockFile {d}/mellon.lock
<Location />
 AuthType Mellon
 Require valid-user
 MellonEnable auth
 MellonEndpointPath /mellon
 MellonSPPrivateKeyFile {d}/sp.key
 MellonSPCertFile {d}/sp.crt
 MellonSPMetadataFile {d}/sp.xml
 MellonIdPMetadataFile {d}/idp.xml
 MellonUser uid
 MellonSecureCookie Off
 MellonSubjectConfirmationDataAddressCheck Off
 RequestHeader set {USER_HEADER} expr=%{{REMOTE_USER}}
</Location>
<Location /mellon>
 MellonEnable info
 Require all granted
</Location>
ProxyPass /mellon !
ProxyPass / http://127.0.0.1:{env.upstream}/ keepalive=On max=1024 ttl=600
""")
        os.chmod(d, 0o755)
        for name in os.listdir(d): os.chmod(f"{d}/{name}", 0o644)
        self.roots = [spawn(["apache2", "-DFOREGROUND", "-f", f"{d}/apache.conf"], env.proxy_cpus, logfile=f"{d}/log")]
        wait_port(self.port)
        self.cookie = self.sign_in(site, provider)

    def sign_in(self, site, provider):
        """posts a response that the provider signed; mellon answers with its session's cookie"""
        d, now = self.dir, datetime.datetime.now(datetime.timezone.utc)
        at = lambda minutes: (now + datetime.timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        number = "_" + secrets.token_hex(16)
        write(f"{d}/response.xml", f"""<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_{secrets.token_hex(16)}" Version="2.0" IssueInstant="{at(0)}" Destination="{site}/mellon/postResponse"><saml:Issuer>{provider}</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status><saml:Assertion ID="{number}" Version="2.0" IssueInstant="{at(0)}"><saml:Issuer>{provider}</saml:Issuer><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/><ds:Reference URI="#{number}"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/></ds:Reference></ds:SignedInfo><ds:SignatureValue/></ds:Signature><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">user7</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="{at(10)}" Recipient="{site}/mellon/postResponse"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="{at(-5)}" NotOnOrAfter="{at(10)}"><saml:AudienceRestriction><saml:Audience>{site}/mellon/metadata</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="{at(0)}" SessionIndex="_1" SessionNotOnOrAfter="{at(600)}"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement><saml:Attribute Name="uid"><saml:AttributeValue>user7</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion></samlp:Response>""")
        subprocess.run(["xmlsec1", "--sign", "--privkey-pem", f"{d}/idp.key", "--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:assertion:Assertion", "--output", f"{d}/signed.xml", f"{d}/response.xml"], check=True, capture_output=True)
        form = urllib.parse.urlencode({"SAMLResponse": base64.b64encode(open(f"{d}/signed.xml", "rb").read()), "RelayState": f"{site}/1k"})
        import http.client
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        c.request("POST", "/mellon/postResponse", form, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = c.getresponse()
        answer.read()
        cookies = [line.split(";")[0] for line in answer.headers.get_all("Set-Cookie") or []]
        if not cookies: raise RuntimeError(f"signing in answered {answer.status}")
        return cookies[0]


class Command(Contestant):
    """a program that is started with DIR LISTEN UPSTREAM SCHEME THREADS CERT KEY"""

    def __init__(self, name, command, tls=False, auth=False):
        super().__init__(name, tls, auth)
        self.command = command

    def missing(self):
        return [] if shutil.which(self.command) else [self.command]

    def start(self, env):
        d = self.folder(env)
        arguments = [d, f"127.0.0.1:{self.port}", f"127.0.0.1:{env.upstream}", "https" if self.tls else "http", str(env.threads), env.cert, env.key]
        self.roots = [spawn([self.command] + arguments, env.proxy_cpus, env={"BENCH_ECHO": f"127.0.0.1:{env.echo}"}, logfile=f"{d}/log")]
        self.cookie, end = None, time.time() + 60
        while self.auth and not os.path.exists(f"{d}/cookie"):
            if self.roots[0].poll() is not None: raise RuntimeError(open(f"{d}/log").read().strip())
            if time.time() > end: raise RuntimeError("nobody could be signed in")
            time.sleep(0.05)
        if self.auth: self.cookie = open(f"{d}/cookie").read().strip()
