"""Write a toy csv: the clauses of some contracts, each with its type and the contract that it stands in.

    python docs/examples/contracts.py contracts.csv

The clauses are put together at random (seeded) from phrases, some of which occur under several types, so that they are
easy to tell apart but not trivial.
"""

import csv
import random
import sys
from pathlib import Path

CONTRACTS, CLAUSES = 30, 6
TYPES = {
    "liability": [
        "shall not be liable for any loss of profit",
        "limits its liability to the fees paid",
        "shall indemnify the other party against claims by third parties",
        "excludes all damages that could not be foreseen",
    ],
    "term": [
        "may end this agreement with thirty days of notice",
        "enters into this agreement for two years",
        "may end it at once where the fees remain unpaid",
        "shall return all documents when this agreement ends",
    ],
    "payment": [
        "shall pay the fees within thirty days",
        "owes interest on fees that are paid late",
        "shall bear the taxes on all fees paid",
        "may raise the fees once in two years",
    ],
}
SHARED = [
    "subject to the law of the seller's country",
    "unless the parties agree otherwise in writing",
    "as far as the law allows",
    "with thirty days of notice",
    "as set out in the annex",
]
PARTIES = ["The supplier", "The customer", "Each party", "The licensee", "The provider"]


def clauses(seed: int = 0) -> list[tuple[str, str, str]]:
    """(contract, clause, type), contract by contract."""
    draw = random.Random(seed)
    rows = []
    for contract in range(CONTRACTS):
        for _ in range(CLAUSES):
            kind = draw.choice(list(TYPES))
            middle = draw.choice(TYPES[kind])
            if draw.random() < 0.08:  # a clause that is labelled by where it stands, as happens
                middle = draw.choice(TYPES[draw.choice(list(TYPES))])
            text = f"{draw.choice(PARTIES)} {middle}, {draw.choice(SHARED)}, clause {draw.randint(1, 40)}."
            rows.append((f"contract-{contract:02d}", text, kind))
    return rows


def main() -> None:
    """Write the file that the first argument names."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "contracts.csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["contract", "clause", "type"])
        writer.writerows(clauses())


if __name__ == "__main__":
    main()
