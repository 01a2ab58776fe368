"""The PRDs of the demo that go well; what their agent does stands in the stories themselves."""

from __future__ import annotations

from coordinator.demo.writing import TESTS, Prd, Story, prd, story, test


def price_rounding(python: str) -> Prd:
    """A bug: the story's own gate is red before and green after."""
    fix = story(
        "Round half a cent up",
        "7 percent of 2.50 EUR are 18 cents",
        verify=[f"{python} -m unittest -q tests.known_bugs"],
        say=[
            "percent() uses //, which always rounds down. The test in tests/known_bugs.py is right.",
            "Adding half of the divisor before the division rounds to the nearest cent.",
        ],
        replace=[
            {
                "path": "shop/money.py",
                "old": "    return cents * rate // 100\n",
                "new": "    return (cents * rate + 50) // 100\n",
            }
        ],
        run=[["python3", "-m", "unittest", "-q", "tests.known_bugs"]],
    )
    split = story(
        "Split a bill without losing a cent",
        "the shares add up to the bill",
        "no two shares differ by more than a cent",
        say=["The rest of the division goes to the first ones, a cent each."],
        append={
            "shop/money.py": "\n\ndef split(cents, people):\n"
            '    """The share of each, the larger ones first."""\n'
            "    share, rest = divmod(cents, people)\n"
            "    return [share + 1] * rest + [share] * (people - rest)\n"
        },
        write={
            "tests/test_split.py": test(
                "SplitTest",
                "from shop import money",
                "def test_no_cent_is_lost(self):",
                "    self.assertEqual(money.split(1000, 3), [334, 333, 333])",
                "    self.assertEqual(sum(money.split(1001, 7)), 1001)",
            )
        },
        run=TESTS,
    )
    return prd(
        "Prices are rounded as customers expect",
        0,
        "Urgent: we lose a cent on every second invoice.",
        fix,
        split,
    )


def cart_totals() -> Prd:
    """Three stories, each a method and its test."""
    total = story(
        "Sum up a cart",
        "the total is in cents",
        "an empty cart costs nothing",
        say=["Reading shop/cart.py: lines() gives me products and counts.", "total() is a sum over it."],
        append={
            "shop/cart.py": "\n    def total(self):\n"
            '        """The price of all of it, in cents."""\n'
            "        return sum(product.price * count for product, count in self.lines())\n"
        },
        write={
            "tests/test_cart_total.py": test(
                "CartTotalTest",
                "from shop.cart import Cart\nfrom tests.test_cart import CATALOG",
                "def test_all_pieces_count(self):",
                "    cart = Cart(CATALOG)",
                "    self.assertEqual(cart.total(), 0)",
                '    cart.add("tea", 2)',
                '    cart.add("cup")',
                "    self.assertEqual(cart.total(), 2190)",
            )
        },
        run=TESTS,
    )
    pieces = story(
        "Count the pieces",
        "three cups are three pieces",
        say=["The badge beside the cart symbol shows pieces, not products."],
        append={
            "shop/cart.py": "\n    def pieces(self):\n        return sum(count for _product, count in self.lines())\n"
        },
        write={
            "tests/test_cart_pieces.py": test(
                "CartPiecesTest",
                "from shop.cart import Cart\nfrom tests.test_cart import CATALOG",
                "def test_pieces(self):",
                "    cart = Cart(CATALOG)",
                '    cart.add("cup", 3)',
                "    self.assertEqual(cart.pieces(), 3)",
            )
        },
        run=TESTS,
    )
    return prd(
        "Totals in the cart", 1, "Customers see what they are about to pay.", total, pieces, _as_text()
    )


def _as_text() -> Story:
    return story(
        "Show the cart as text",
        "one line per product, the total last",
        say=["money.show() writes amounts already; I use it.", "The names are padded to one width."],
        replace=[
            {
                "path": "shop/cart.py",
                "old": '"""What somebody is about to buy."""\n',
                "new": '"""What somebody is about to buy."""\n\nfrom shop import money\n',
            }
        ],
        append={
            "shop/cart.py": "\n    def __str__(self):\n"
            '        rows = [f"{count} x {product.name:<20} {money.show(product.price * count)}"\n'
            "                for product, count in self.lines()]\n"
            '        return "\\n".join([*rows, f"total {money.show(self.total())}"])\n'
        },
        run=TESTS,
    )


def search_index(slow: float) -> Prd:
    """The longest one, a module that grows: one answer breaks off, another takes `slow` seconds more."""
    return prd(
        "Search",
        1,
        "Find products by what they are called.",
        _words(),
        _index(),
        _ranking(),
        _typos(slow),
        _marks(),
    )


def _words() -> Story:
    return story(
        "Split names into words",
        "lower case, without punctuation",
        say=["A new module, shop/search.py, so that nothing else changes."],
        write={
            "shop/search.py": '"""Finding products by name."""\n\nimport re\n\n\n'
            'def words(text):\n    return re.findall(r"[a-z0-9]+", text.lower())\n'
        },
        run=[["python3", "-c", "from shop import search; print(search.words('Tea, green!'))"]],
    )


def _index() -> Story:
    return story(
        "Build the index",
        "every product is found by every word of its name",
        say=["From word to the products that have it."],
        append={
            "shop/search.py": "\n\nclass Index:\n    def __init__(self, products):\n        self._found = {}\n"
            "        for product in products:\n            for word in words(product.name):\n"
            "                self._found.setdefault(word, []).append(product)\n\n"
            "    def find(self, query):\n"
            '        """Products with any of the words."""\n'
            "        hits = {}\n        for word in words(query):\n"
            "            for product in self._found.get(word, []):\n"
            "                hits[product] = hits.get(product, 0) + 1\n"
            "        return list(hits)\n"
        },
        write={
            "tests/test_search.py": test(
                "SearchTest",
                "from shop.search import Index\nfrom tests.test_cart import CATALOG",
                "def test_both_are_tea(self):",
                '    found = {product.sku for product in Index(CATALOG).find("tea")}',
                '    self.assertEqual(found, {"tea", "cup"})',
            )
        },
        run=TESTS,
    )


def _ranking() -> Story:
    return story(
        "Rank the hits",
        "products with more of the words come first",
        fail=1,
        say=["hits holds the number of words already; sorting by it is enough."],
        replace=[
            {
                "path": "shop/search.py",
                "old": "        return list(hits)\n",
                "new": "        return sorted(hits, key=hits.get, reverse=True)\n",
            }
        ],
        append={
            "tests/test_search.py": "\n    def test_more_words_come_first(self):\n"
            '        found = Index(CATALOG).find("tea cup")\n'
            '        self.assertEqual([product.sku for product in found], ["cup", "tea"])\n'
        },
        run=TESTS,
    )


def _typos(slow: float) -> Story:
    return story(
        "Forgive a typo",
        "`gren tea` finds green tea",
        slow=slow,
        say=[
            "difflib.get_close_matches does this; it is in the standard library.",
            "Trying cutoffs: 0.6 finds too much, 0.8 finds what a person would.",
        ],
        replace=[
            {"path": "shop/search.py", "old": "import re\n", "new": "import difflib\nimport re\n"},
            {
                "path": "shop/search.py",
                "old": "            for product in self._found.get(word, []):\n",
                "new": "            close = difflib.get_close_matches(word, self._found, 1, 0.8)\n"
                "            for product in self._found[close[0]] if close else []:\n",
            },
        ],
        append={
            "tests/test_search.py": "\n    def test_a_typo(self):\n"
            '        self.assertEqual(Index(CATALOG).find("gren")[0].sku, "tea")\n'
        },
        run=TESTS,
    )


def _marks() -> Story:
    return story(
        "Mark the words that were found",
        "found words stand in stars",
        say=["The page shows them in bold; the module only marks them."],
        append={
            "shop/search.py": "\n\ndef mark(name, query):\n    wanted = set(words(query))\n"
            '    parts = re.split(r"(\\W+)", name)\n'
            '    return "".join(f"*{part}*" if part.lower() in wanted else part for part in parts)\n'
        },
        run=[["python3", "-c", "from shop import search; print(search.mark('Green tea', 'tea'))"], *TESTS],
    )


def checkout() -> Prd:
    """Stands on the work of cart-totals: it calls `total`, which the base branch does not have."""
    order = story(
        "Turn a cart into an order",
        "the order has the cart's total and what comes on top",
        say=["Cart.total() is there already, on the branch that I stand on.", "Delivery comes from pricing."],
        write={
            "shop/checkout.py": '"""From a cart to an order."""\n\n'
            "from shop.orders import Order\nfrom shop.pricing import extras\n\n\n"
            "def check_out(cart, number, month):\n    total = cart.total()\n"
            "    return Order(number, month, total + extras(total, month))\n",
            "tests/test_checkout.py": test(
                "CheckoutTest",
                "from shop.cart import Cart\nfrom shop.checkout import check_out\nfrom tests.test_cart import CATALOG",
                "def test_delivery_is_added(self):",
                "    cart = Cart(CATALOG)",
                '    cart.add("tea")',
                "    self.assertEqual(check_out(cart, 1, 3).total, 450 + 490)",
            ),
        },
        run=TESTS,
    )
    empty = story(
        "Refuse an empty cart",
        "the message says what to do",
        say=["An exception of its own, so that the page can tell it from a bug."],
        replace=[
            {
                "path": "shop/checkout.py",
                "old": "    total = cart.total()\n",
                "new": "    if not cart.lines():\n"
                '        raise EmptyCart("The cart is empty: put something in first.")\n    total = cart.total()\n',
            },
            {
                "path": "shop/checkout.py",
                "old": "def check_out",
                "new": "class EmptyCart(Exception):\n    pass\n\n\ndef check_out",
            },
        ],
        append={
            "tests/test_checkout.py": "\n    def test_an_empty_cart(self):\n"
            '        with self.assertRaisesRegex(Exception, "put something in"):\n'
            "            check_out(Cart(CATALOG), 1, 3)\n"
        },
        run=TESTS,
    )
    return prd("Checkout", 2, "The last step before we are paid.", order, empty, dependsOn=["cart-totals"])
