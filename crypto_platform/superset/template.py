"""``python -m crypto_platform.superset.template``: what new Supersets begin with; run where Superset is installed."""

from crypto_platform.settings import settings
from crypto_platform.superset.server import make_template

if __name__ == "__main__":
    make_template(settings())
