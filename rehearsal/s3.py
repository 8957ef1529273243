"""S3 over a folder: s3proxy, which checks AWS's signatures. https://github.com/gaul/s3proxy"""

import http.client
from pathlib import Path

from crypto_platform.sandbox import java
from crypto_platform.settings import LOOPBACK, Settings
from rehearsal import jars
from rehearsal.parts import Part

NAME = "S3"
USER = "platform"
BUCKETS = ("lake", "landing")
REGION = "us-east-1"

# The provider filesystem-nio2 refuses to delete the key of a folder that is not empty, which s3fs does. Without the
# last line boto's checksums are answered with 501.
PROPERTIES = """\
s3proxy.endpoint=http://{host}:{port}
s3proxy.authorization=aws-v4
s3proxy.identity={user}
s3proxy.credential={secret}
jclouds.provider=filesystem
jclouds.filesystem.basedir={data}
s3proxy.ignore-unknown-headers=true
"""
# Unless it is told it writes all that it does.
LOGGING = """\
<configuration><appender name="console" class="ch.qos.logback.core.ConsoleAppender"><encoder>
<pattern>%d %p %c{0} %m%n</pattern></encoder></appender><root level="ERROR"><appender-ref ref="console"/></root>
</configuration>
"""


def endpoint(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


def data(folder: Path) -> Path:
    """What the buckets hold, a file an object."""
    return folder / "data"


def part(settings: Settings, folder: Path, port: int, secret: str) -> Part:
    """The server, with its buckets; its files are in `folder`."""
    for bucket in BUCKETS:
        (data(folder) / bucket).mkdir(parents=True, exist_ok=True)
    configuration, logging = folder / "s3proxy.conf", folder / "logback.xml"
    configuration.touch(mode=0o600)
    configuration.write_text(PROPERTIES.format(host=LOOPBACK, port=port, user=USER, secret=secret, data=data(folder)))
    logging.write_text(LOGGING)

    def answers() -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=1)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == http.client.FORBIDDEN
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    command = [
        java.executable(settings),
        f"-Dlogback.configurationFile={logging}",
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-cp",
        f"{jars.folder(settings) / 's3proxy'}/*",
        "org.gaul.s3proxy.Main",
        "--properties",
        str(configuration),
    ]
    return Part(NAME, command, answers)
