"""The PRDs of the demo that do not: one cannot be done, one is claimed to be done, two get into each other's way."""

from __future__ import annotations

from coordinator.demo.writing import TESTS, Prd, prd, story, test


def tax_report() -> Prd:
    """Fails for good: its second story comes with a test that its code does not pass."""
    month = story(
        "Sum up the tax of a month",
        "orders of other months do not count",
        say=["Totals include the tax, so it is total × rate / (100 + rate)."],
        write={
            "shop/tax.py": '"""The tax in what we sold."""\n\n\n'
            "def tax_of(orders, month):\n    return sum(order.total * order.tax_rate // (100 + order.tax_rate)\n"
            "               for order in orders if order.month == month)\n",
            "tests/test_tax.py": test(
                "TaxTest",
                "from shop.orders import Order\nfrom shop.tax import tax_of",
                "def test_one_month(self):",
                "    self.assertEqual(tax_of([Order(1, 3, 11900), Order(2, 4, 11900)], 3), 1900)",
            ),
        },
        run=TESTS,
    )
    reduced = story(
        "Books have the reduced rate",
        "a book for 10.70 EUR holds 0.70 EUR of tax",
        say=["First the test, from the criteria.", "The rate should come with the order. I pass it on."],
        append={
            "tests/test_tax.py": "\n    def test_books(self):\n"
            '        self.assertEqual(tax_of([Order(1, 3, 1070, rate_of("book"))], 3), 70)\n'
        },
        replace=[
            {
                "path": "tests/test_tax.py",
                "old": "from shop.tax import tax_of\n",
                "new": "from shop.tax import rate_of, tax_of\n",
            },
            {
                "path": "shop/tax.py",
                "old": "\n\ndef tax_of",
                "new": '\n\ndef rate_of(kind):\n    return {"book": 5}.get(kind, 19)\n\n\ndef tax_of',
            },
        ],
        run=TESTS,
    )
    csv = story("Write it as a table", "one row per month", say=["csv.writer does the quoting."])
    return prd("Tax report", 2, "What accounting asks for every month.", month, reduced, csv)


def order_export() -> Prd:
    """Lies: the second story is claimed to be done and is not."""
    rows = story(
        "Orders as rows",
        "the columns have names",
        say=["dataclasses.asdict gives me the columns."],
        write={
            "shop/export.py": '"""Orders for other programs."""\n\nfrom dataclasses import asdict\n\n\n'
            "def rows(orders):\n    return [asdict(order) for order in orders]\n",
            "tests/test_export.py": test(
                "ExportTest",
                "from shop.export import rows\nfrom shop.orders import Order",
                "def test_columns_have_names(self):",
                '    self.assertEqual(rows([Order(1, 3, 990)])[0]["total"], 990)',
            ),
        },
        run=TESTS,
    )
    upload = story(
        "Upload them every night",
        "the upload is tried again when it fails",
        lie=True,
        say=["Writing the upload.", "Writing tests for the upload.", "All tests pass."],
    )
    return prd("Order export", 2, "The warehouse wants our orders.", rows, upload)


def free_delivery() -> Prd:
    """Changes the same line of shop/pricing.py as `summer_sale` does."""
    free = story(
        "Free delivery from 50 EUR",
        "exactly 50 EUR is enough",
        say=["One line in shop/pricing.py decides about delivery."],
        replace=[
            {
                "path": "shop/pricing.py",
                "old": "    return DELIVERY\n",
                "new": "    return 0 if total >= FREE_FROM else DELIVERY\n",
            },
            {
                "path": "shop/pricing.py",
                "old": "DELIVERY = 490\n",
                "new": "DELIVERY = 490\nFREE_FROM = 5000\n",
            },
        ],
        write={
            "tests/test_free_delivery.py": test(
                "FreeDeliveryTest",
                "from shop.pricing import DELIVERY, extras",
                "def test_the_border(self):",
                "    self.assertEqual([extras(4999), extras(5000)], [DELIVERY, 0])",
            )
        },
        run=TESTS,
    )
    missing = story(
        "Tell how much is missing",
        "nothing is missing from 50 EUR on",
        say=["The page asks for it: `add 4.20 EUR for free delivery`."],
        append={
            "shop/pricing.py": "\n\ndef missing_for_free_delivery(total):\n    return max(0, FREE_FROM - total)\n"
        },
        run=[["python3", "-c", "from shop import pricing; print(pricing.missing_for_free_delivery(4580))"]],
    )
    return prd("Free delivery", 3, "The most asked for feature of all.", free, missing)


def summer_sale() -> Prd:
    """Changes the same line of shop/pricing.py as `free_delivery` does."""
    sale = story(
        "Ten percent off in July and August",
        "other months stay as they are",
        say=["extras() knows the month; what comes off is a negative extra."],
        replace=[
            {
                "path": "shop/pricing.py",
                "old": "    return DELIVERY\n",
                "new": "    return DELIVERY - (total // 10 if month in SALE else 0)\n",
            },
            {"path": "shop/pricing.py", "old": "DELIVERY = 490\n", "new": "DELIVERY = 490\nSALE = (7, 8)\n"},
        ],
        write={
            "tests/test_summer_sale.py": test(
                "SummerSaleTest",
                "from shop.pricing import DELIVERY, extras",
                "def test_july_and_june(self):",
                "    self.assertEqual([extras(1000, 7), extras(1000, 6)], [DELIVERY - 100, DELIVERY])",
            )
        },
        run=TESTS,
    )
    name = story(
        "Announce it on the front page",
        "only while it lasts",
        say=["The text lies beside the prices, so that both end together."],
        append={
            "shop/pricing.py": "\n\ndef banner(month):\n"
            '    return "Summer sale: 10 % off everything" if month in SALE else ""\n'
        },
        run=[["python3", "-c", "from shop import pricing; print(pricing.banner(7))"]],
    )
    return prd("Summer sale", 3, "Marketing counts on it.", sale, name, branchName="campaign/summer-sale")
