"""The project of the demo: a small shop in Python with tests, and one bug that somebody wrote a test for."""

from __future__ import annotations

README = """# shop

A small shop: a catalog, a cart, prices in whole cents. No dependencies.

    python3 -m unittest

`tests/known_bugs.py` holds tests of what is known to be wrong; unittest does not find it by itself.
"""

MONEY = '''"""Amounts of money, in whole cents."""


def parse(text):
    """The cents of `12.50`, `12.5` or `12`."""
    units, _, cents = text.partition(".")
    return int(units) * 100 + int(cents.ljust(2, "0"))


def show(cents):
    return f"{cents // 100}.{cents % 100:02} EUR"


def percent(cents, rate):
    """So many percent of an amount."""
    return cents * rate // 100
'''

CATALOG = '''"""What there is to buy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    """`price` in cents."""

    sku: str
    name: str
    price: int


class Catalog:
    def __init__(self, *products):
        self._products = {product.sku: product for product in products}

    def __iter__(self):
        return iter(self._products.values())

    def find(self, sku):
        """The product; KeyError if there is none."""
        return self._products[sku]
'''

CART = '''"""What somebody is about to buy."""


class Cart:
    def __init__(self, catalog):
        self._catalog = catalog
        self._counts = {}

    def add(self, sku, count=1):
        """More of a product; KeyError if the catalog does not have it."""
        self._catalog.find(sku)
        self._counts[sku] = self._counts.get(sku, 0) + count

    def lines(self):
        """Pairs of product and count, in the order in which they were added."""
        return [(self._catalog.find(sku), count) for sku, count in self._counts.items()]
'''

PRICING = '''"""What comes on top of a total, in cents."""

DELIVERY = 490


def extras(total, month=1):
    return DELIVERY
'''

ORDERS = '''"""What was bought."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Order:
    """`total` in cents, `month` from 1."""

    number: int
    month: int
    total: int
    tax_rate: int = 19
'''

TEST_MONEY = """import unittest

from shop import money


class MoneyTest(unittest.TestCase):
    def test_reading(self):
        self.assertEqual([money.parse(text) for text in ("12.50", "12.5", "12")], [1250, 1250, 1200])

    def test_showing(self):
        self.assertEqual(money.show(1205), "12.05 EUR")

    def test_percent(self):
        self.assertEqual(money.percent(1000, 19), 190)
"""

TEST_CART = """import unittest

from shop.cart import Cart
from shop.catalog import Catalog, Product

CATALOG = Catalog(Product("tea", "Green tea", 450), Product("cup", "Tea cup", 1290))


class CartTest(unittest.TestCase):
    def test_adding_twice_counts_twice(self):
        cart = Cart(CATALOG)
        for sku in ("tea", "cup", "tea"):
            cart.add(sku)
        self.assertEqual([(product.sku, count) for product, count in cart.lines()], [("tea", 2), ("cup", 1)])

    def test_what_is_not_for_sale(self):
        with self.assertRaises(KeyError):
            Cart(CATALOG).add("boat")
"""

TEST_PRICING = """import unittest

from shop.pricing import DELIVERY, extras


class PricingTest(unittest.TestCase):
    def test_small_orders_pay_for_delivery(self):
        self.assertEqual(extras(1000), DELIVERY)
"""

KNOWN_BUGS = '''import unittest

from shop import money


class KnownBugs(unittest.TestCase):
    def test_half_a_cent_is_rounded_up(self):
        """7 percent of 2.50 are 17.5 cents: customers see 18 everywhere else."""
        self.assertEqual(money.percent(250, 7), 18)


if __name__ == "__main__":
    unittest.main()
'''

#: Path → content.
FILES = {
    ".gitignore": "__pycache__/\n*.pyc\n",
    "README.md": README,
    "shop/__init__.py": "",
    "shop/cart.py": CART,
    "shop/catalog.py": CATALOG,
    "shop/money.py": MONEY,
    "shop/orders.py": ORDERS,
    "shop/pricing.py": PRICING,
    "tests/__init__.py": "",
    "tests/known_bugs.py": KNOWN_BUGS,
    "tests/test_cart.py": TEST_CART,
    "tests/test_money.py": TEST_MONEY,
    "tests/test_pricing.py": TEST_PRICING,
}
