"""What Hugging Face's tokenizers make of texts and of ids, a line of JSON each.

Usage: tokenizer_reference.py TOKENIZER_JSON < lines > lines. A line {"text": …} is answered by {"ids", "framed", "skipped", "whole"}: ids
without and with the post-processor's tokens, and both decoded texts of the former; a line {"ids": …} by {"skipped", "whole"}.
"""

import json
import sys

from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file(sys.argv[1])
for line in sys.stdin:
    asked = json.loads(line)
    answer = {}
    ids = asked.get("ids")
    if ids is None:
        ids = answer["ids"] = tokenizer.encode(asked["text"], add_special_tokens=False).ids
        answer["framed"] = tokenizer.encode(asked["text"], add_special_tokens=True).ids
    answer["skipped"] = tokenizer.decode(ids, skip_special_tokens=True)
    answer["whole"] = tokenizer.decode(ids, skip_special_tokens=False)
    print(json.dumps(answer))
