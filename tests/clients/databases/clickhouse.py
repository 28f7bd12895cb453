"""A ClickHouse in a process of its own: statements in, a line of JSON each; answers out, the same. The argument is its directory."""

import json
import sys

from chdb import session

database = session.Session(sys.argv[1])
for line in sys.stdin:
    try:
        answer = {"ok": str(database.query(json.loads(line), "TabSeparated"))}
    except Exception as error:  # noqa: BLE001 - whatever it is, the test shall see it
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
