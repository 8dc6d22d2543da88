/** Characters of a word and of a whole message: a scenario may have many mistakes, each with all that was expected. */
const LONGEST_WORD = 300;
const LONGEST_MESSAGE = 16_000;
/** How many of them are left at the end of one that has more. */
const TAIL = 60;

/** Of a path the system takes no more, and a program may want to compare it with what it gave. */
const LONGEST_PATH = 4096;

/** A message with the middle left out of every word that nobody reads to its end, and of the whole if it is still too long. */
export function shortenedMessage(message: string): string {
  return shortened(
    message.replace(/\S+/g, (word) => shortened(word, LONGEST_WORD)),
    LONGEST_MESSAGE,
  );
}

/** A value of an error's place. */
export function shortenedPlace<Value>(value: Value): Value | string {
  return typeof value === 'string' ? shortened(value, LONGEST_PATH) : value;
}

function shortened(text: string, most: number): string {
  if (text.length <= most) return text;
  // No half of a character that takes two units.
  const head = text.slice(0, most - 100).replace(/[\ud800-\udbff]$/, '');
  const tail = text.slice(-TAIL).replace(/^[\udc00-\udfff]/, '');
  return `${head}... (${text.length} characters) ...${tail}`;
}
