"""Tasks that compute while they hold the GIL.

Worker processes import this module, so it imports little.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import json
import math
import random
import re
import tokenize
from collections import Counter

Image = list[list[int]]


def factorial(n: int) -> int:
    """The factorial by a loop; its last digits, since printing it is another task."""
    product = 1
    for factor in range(2, n + 1):
        product *= factor
    return product % 10**9 + product.bit_length()


def count_primes(limit: int) -> int:
    """Primes below a limit, by trial division."""
    return sum(
        all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
        for number in range(2, limit)
    )


def estimate_pi(seed: int) -> float:
    """Pi from points that fall into a quarter of a circle."""
    source = random.Random(seed)
    points = 40_000
    inside = sum(source.random() ** 2 + source.random() ** 2 < 1 for _ in range(points))
    return 4 * inside / points


def fibonacci(n: int) -> int:
    """The slow definition, taken literally."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def make_image(seed: int, side: int) -> Image:
    """Grey values of a square image."""
    source = random.Random(seed)
    return [[source.randrange(256) for _ in range(side)] for _ in range(side)]


def blur(image: Image) -> Image:
    """Each pixel becomes the mean of the nine around it; the rim stays."""
    side = len(image)
    blurred = [row[:] for row in image]
    for y in range(1, side - 1):
        for x in range(1, side - 1):
            nine = [image[y + dy][x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            blurred[y][x] = sum(nine) // 9
    return blurred


def mandelbrot(row: int) -> int:
    """Steps that one row of the Mandelbrot set takes."""
    steps = 0
    for column in range(160):
        c = complex(column / 80 - 1.5, row / 80 - 1)
        z = 0j
        for _ in range(60):
            z = z * z + c
            steps += 1
            if abs(z) > 2:
                break
    return steps


def multiply(seed: int) -> float:
    """The trace of the product of two matrices that are lists of lists."""
    size, source = 56, random.Random(seed)
    left = [[source.random() for _ in range(size)] for _ in range(size)]
    right = [[source.random() for _ in range(size)] for _ in range(size)]
    columns = list(zip(*right, strict=True))
    product = [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in left
    ]
    return math.fsum(product[i][i] for i in range(size))


def queens(first: int) -> int:
    """Ways to place nine queens with the first in a given column."""

    def place(row: int, columns: int, left: int, right: int) -> int:
        if row == 9:
            return 1
        found = 0
        for column in range(9):
            bit = 1 << column
            if not (columns | left | right) & bit:
                found += place(row + 1, columns | bit, (left | bit) << 1, (right | bit) >> 1)
        return found

    bit = 1 << first
    return place(1, bit, bit << 1, bit >> 1)


def levenshtein(pair: tuple[str, str]) -> int:
    """Edits that make one text of the other."""
    one, other = pair
    previous = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        current = [i]
        for j, b in enumerate(other, 1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (a != b)))
        previous = current
    return previous[-1]


def sort_by_key(seed: int) -> list[str]:
    """The first of many words, in the order of their letters from behind."""
    source = random.Random(seed)
    words = [f"{source.randrange(1 << 24):06x}" for _ in range(9_000)]
    return sorted(words, key=lambda word: word[::-1])[:3]


def encrypt(seed: int) -> int:
    """XTEA over 8 kB, a cipher that textbooks print in full."""
    source, mask = random.Random(seed), 0xFFFFFFFF
    key = [source.getrandbits(32) for _ in range(4)]
    digest = 0
    for _ in range(300):
        left, right, total = source.getrandbits(32), source.getrandbits(32), 0
        for _ in range(32):
            mixed = ((right << 4 ^ right >> 5) + right) ^ (total + key[total & 3])
            left = (left + mixed) & mask
            total = (total + 0x9E3779B9) & mask
            mixed = ((left << 4 ^ left >> 5) + left) ^ (total + key[total >> 11 & 3])
            right = (right + mixed) & mask
        digest ^= left << 32 | right
    return digest


def make_source(functions: int) -> str:
    """Python source text of many small functions."""
    return "\n".join(
        f"def f{i}(x, y={i}):\n    z = [x + y * {i}, 'text {i}']\n    return z if x > {i} else None\n"
        for i in range(functions)
    )


def parse_source(source: str) -> int:
    """Names in a syntax tree: the parser is one long C call, the walk is Python."""
    return sum(isinstance(node, ast.Name) for node in ast.walk(ast.parse(source)))


def count_tokens(source: str) -> int:
    """Tokens of a text, by the tokenizer of the standard library."""
    return sum(1 for _ in tokenize.generate_tokens(io.StringIO(source).readline))


def make_document(records: int) -> str:
    """A JSON text of many records."""
    source = random.Random(records)
    return json.dumps(
        [{"id": i, "value": source.random(), "tags": ["a", "b" * 9]} for i in range(records)]
    )


def parse_json(text: str) -> float:
    """The sum of a field: `json.loads` is one C call that never lets go of the GIL."""
    return math.fsum(record["value"] for record in json.loads(text))


def make_log(lines: int) -> str:
    """Lines of a web server's log."""
    source = random.Random(lines)
    return "\n".join(
        f'10.0.{source.randrange(256)}.{i % 256} - "GET /page/{i} HTTP/1.1" {200 + i % 5} {i * 7}'
        for i in range(lines)
    )


def search_log(text: str) -> int:
    """Bytes sent, by a regular expression: each pass is one C call that keeps the GIL."""
    pattern = r'(\d+\.\d+\.\d+\.\d+) - "(\w+) (\S+) [^"]*" (\d+) (\d+)'
    return sum(int(match[4]) for match in re.findall(pattern, text))


def count_words(text: str) -> int:
    """How often the most frequent word of a text occurs."""
    return Counter(re.split(r"\W+", text.lower())).most_common(1)[0][1]


def sum_table(seed: int) -> float:
    """A table written and read as CSV, its cells turned into numbers."""
    source = random.Random(seed)
    rows = ([i, source.random(), "name"] for i in range(4_000))
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    file.seek(0)
    return sum(float(row[1]) for row in csv.reader(file))


def hash_chain(seed: int) -> str:
    """A chain of hashes. `hashlib` keeps the GIL for fewer than 2 kB, and this is 32 bytes."""
    data = seed.to_bytes(32, "big")
    for _ in range(9_000):
        data = hashlib.sha256(data).digest()
    return data.hex()


def compute(rounds: int) -> float:
    """Arithmetic in a loop."""
    total = 0.0
    for i in range(rounds):
        total += math.sqrt(i) * 0.5
    return total


def square(x: int) -> int:
    """As tiny as a task gets."""
    return x * x


def parse_number(text: str) -> float:
    """A number from its text."""
    return float(text)


def area(sides: tuple[float, float]) -> float:
    """Two numbers multiplied and rounded."""
    width, height = sides
    return round(width * height, 2)
