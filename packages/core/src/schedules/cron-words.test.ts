import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCron, resolveCron } from "./cron-fields.ts";
import { cronInWords } from "./cron-words.ts";

const WORDS: Readonly<Record<string, string>> = {
  "* * * * *": "every minute",
  "*/10 * * * *": "every 10 minutes",
  "7 * * * *": "at minute 7 of every hour",
  "5,25 * * * *": "at minutes 5 and 25",
  "30 6 * * MON-FRI": "at 06:30 on Monday to Friday",
  "0 0 * * *": "at 00:00 every day",
  "0 6,18 * * 0,6": "at 06:00 and 18:00 on Sunday and Saturday",
  "*/15 9-17 * * *": "every 15 minutes in the hours 9 to 17",
  "0 9 1,15 * *": "at 09:00 on day 1 and 15",
  "0 9 L * *": "at 09:00 on the last day",
  "0 9 L-2 * *": "at 09:00 2 days before the last day",
  "0 9 * * 5L": "at 09:00 on the last Friday",
  "0 9 * * 1#1,1#3": "at 09:00 on the first Monday and on the third Monday",
  "0 0 13 * 5": "at 00:00 on day 13 or on Friday",
  "0 0 1 1 *": "at 00:00 on day 1 in January",
  "0 0 * 6-8 *": "at 00:00 in June to August",
  "* * * * * *": "every second",
  "*/15 * * * * *": "every 15 seconds",
  "10 0 3 * * *": "at 03:00:10 every day",
  "30 */2 * * * *": "at second 30 of every 2 minutes",
};

for (const [expression, words] of Object.entries(WORDS)) {
  test(`"${expression}" means ${words}`, () => {
    assert.equal(cronInWords(parseCron(resolveCron(expression, ""), "cron")), words);
  });
}
