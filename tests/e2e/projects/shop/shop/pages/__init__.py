from .cart import CART
from .home import HOME

PAGES = [HOME, CART]
