"""What new Supersets begin with: ``python -m crypto_platform.connectors.superset.template``, with Superset there."""

from crypto_platform.connectors.superset.server import make_template
from crypto_platform.settings import settings

if __name__ == "__main__":
    make_template(settings())
