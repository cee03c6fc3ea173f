from ..prices import PRICES
from .home import HOME

CART = HOME.replace("home", "cart") + "/" + "-".join(sorted(PRICES))
