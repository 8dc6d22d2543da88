// Finds JavaScript bit operators on addresses and frame numbers: they cut their operands to 32 bits, and a physical
// address has 52. Goes by names: a value whose name ends in frame, gfn, pfn, gpa, hpa or address (and its plural, for
// an element of an array) is one. A bigint is not: the other operand is then a bigint too, and shows it by a literal
// (12n) or a call of BigInt. `frame % 512` is a small number, and may be shifted or masked.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const KINDS = 'frame|gfn|pfn|gpa|hpa|address';
const VALUE = new RegExp(
  `^#?(?:${KINDS})$|^#?[a-z]\\w*(?:${KINDS.replace(/\b[a-z]/g, (c) => c.toUpperCase())})$`,
);
const CONVERSION = /^(?:frameOf|addressOf|virtualFrameOf|virtualFrame)$/;
const BIT_OPERATORS = new Set(['>>>', '>>', '<<', '&', '|', '^', '>>>=', '>>=', '<<=', '&=', '|=', '^=']);

/** Whether a name is that of an address or a frame number. */
const isNumber = (name) => VALUE.test(name);
/** Whether the elements of an array of this name are such numbers. */
const isArray = (name) => isNumber(name.replace(/esses$/, 'ess').replace(/([^s])s$/, '$1'));
/** Whether a function of this name returns one. */
const isFunction = (name) => isNumber(name) || CONVERSION.test(name);

const TOKEN =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\[\s\S]|[^'\\\n])*'|"(?:\\[\s\S]|[^"\\\n])*"|\d[\w.]*|#?[A-Za-z_$][\w$]*|>>>=|>>=|<<=|>>>|>>|<<|\*\*|=>|\?\?=?|\?\.|&&=?|\|\|=?|[<>=!]==?|[-+*/%&|^]=|\s+|[\s\S]/y;
/** Words and signs after which a slash begins a regular expression, not a division. */
const BEFORE_EXPRESSION = /^(?:[(,=:[!&|?{};+\-*%<>~^]|=>|&&|\|\||\?\?|[=!]==?|return|typeof|case|of|in)$/;

/** The tokens of a source with their offsets, without comments, strings, regular expressions and white space. */
function tokensOf(text) {
  const tokens = [];
  // For each open template literal, the number of braces that are open in its current substitution.
  const templates = [];
  let at = 0;
  const template = () => {
    while (at < text.length) {
      if (text[at] === '\\') at += 2;
      else if (text[at] === '`') {
        at++;
        tokens.push({ text: '""', at });
        return;
      } else if (text.startsWith('${', at)) {
        at += 2;
        templates.push(0);
        tokens.push({ text: '(', at });
        return;
      } else at++;
    }
  };
  while (at < text.length) {
    if (text[at] === '`') {
      at++;
      template();
      continue;
    }
    if (text[at] === '}' && templates.at(-1) === 0) {
      templates.pop();
      tokens.push({ text: ')', at: at++ });
      template();
      continue;
    }
    const previous = tokens.at(-1)?.text ?? ';';
    if (text[at] === '/' && !/^\/[/*]/.test(text.slice(at, at + 2)) && BEFORE_EXPRESSION.test(previous)) {
      const expression = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+\/[a-z]*/y;
      expression.lastIndex = at;
      if (expression.test(text)) {
        tokens.push({ text: '""', at });
        at = expression.lastIndex;
        continue;
      }
    }
    TOKEN.lastIndex = at;
    let token = TOKEN.exec(text)?.[0] ?? text[at];
    // Type arguments may close with `>>>` too. A shift, in formatted code, has a space before it.
    if (/^>>/.test(token) && !/\s/.test(text[at - 1] ?? '')) token = '>';
    if (templates.length > 0 && token === '{') templates[templates.length - 1]++;
    if (templates.length > 0 && token === '}') templates[templates.length - 1]--;
    if (/^['"]/.test(token)) tokens.push({ text: '""', at });
    else if (!/^(?:\s|\/\/|\/\*)/.test(token)) tokens.push({ text: token, at });
    at += token.length;
  }
  return tokens;
}

const KEYWORD = /^(?:return|if|while|switch|for|typeof|case|of|in|await|yield|void|delete|throw)$/;
const isName = (token) => token !== undefined && /^[#A-Za-z_$]/.test(token);
const OPENING = { ')': '(', ']': '[' };

/** The index of the bracket that the closing one at `index` matches. */
function openingOf(tokens, index) {
  const close = tokens[index].text;
  let depth = 0;
  for (let i = index; i >= 0; i--) {
    if (tokens[i].text === close) depth++;
    else if (tokens[i].text === OPENING[close] && --depth === 0) return i;
  }
  return -1;
}

/** The address or frame number that the operand ending at `index` is, or undefined. */
function leftOperand(tokens, index) {
  const token = tokens[index]?.text;
  if (isName(token)) return isNumber(token) ? token : undefined;
  if (token === ')' || token === ']') {
    const open = openingOf(tokens, index);
    const before = tokens[open - 1]?.text;
    const called = ['.', '?.'].includes(tokens[open - 2]?.text) || !KEYWORD.test(before ?? '');
    if (isName(before) && called) {
      const named = token === ')' ? isFunction(before) : isArray(before);
      return named ? `${before}${token === ')' ? '(...)' : '[...]'}` : undefined;
    }
    if (token === ')') return wholeGroup(tokens.slice(open + 1, index));
  }
  return undefined;
}

/** The number that a parenthesised expression is: `(frame)`, `(frame ?? 0)`, `(frame as number)`. */
function wholeGroup(tokens) {
  const end = tokens.findIndex(({ text }) => text === '??' || text === 'as');
  const value = end < 0 ? tokens : tokens.slice(0, end);
  const simple = value.every(
    ({ text }, i) => isName(text) || text === '.' || text === '?.' || i === value.length - 1,
  );
  return simple ? leftOperand(value, value.length - 1) : undefined;
}

/** The address or frame number that the operand beginning at `index` is, or undefined. */
function rightOperand(tokens, index) {
  let i = index;
  if (tokens[i]?.text === '(') {
    let depth = 0;
    for (let end = i; end < tokens.length; end++) {
      if (tokens[end].text === '(') depth++;
      else if (tokens[end].text === ')' && --depth === 0) return wholeGroup(tokens.slice(i + 1, end));
    }
  }
  if (!isName(tokens[i]?.text)) return undefined;
  while (['.', '?.'].includes(tokens[i + 1]?.text) && isName(tokens[i + 2]?.text)) i += 2;
  const name = tokens[i].text;
  const next = tokens[i + 1]?.text;
  if (next === '(') return isFunction(name) ? `${name}(...)` : undefined;
  if (next === '[') return isArray(name) ? `${name}[...]` : undefined;
  return isNumber(name) && next !== '%' ? name : undefined;
}

const isBigInt = (token) => token !== undefined && (/^\d\w*n$/.test(token) || token === 'BigInt');

/** `FILE:LINE:COLUMN message` for each bit operator on an address or a frame number in `text`. */
function findBitOperators(text, file) {
  const found = [];
  const tokens = tokensOf(text);
  for (const [index, { text: operator, at }] of tokens.entries()) {
    let operand;
    if (operator === '~') operand = rightOperand(tokens, index + 1);
    else if (BIT_OPERATORS.has(operator)) {
      if (isBigInt(tokens[index - 1]?.text) || isBigInt(tokens[index + 1]?.text)) continue;
      operand = leftOperand(tokens, index - 1) ?? rightOperand(tokens, index + 1);
    }
    if (operand === undefined) continue;
    const before = text.slice(0, at).split('\n');
    found.push(
      `${file}:${before.length}:${(before.at(-1)?.length ?? 0) + 1} '${operator}' on ${operand}: it cuts to 32 bits; use % and Math.floor, or the helpers of @heki/physical-memory`,
    );
  }
  return found;
}

function sourcesUnder(folder) {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .filter((file) => file.endsWith('.ts') && !/\.(?:test|bench)\.ts$|(?:^|\/)testing\//.test(file))
    .map((file) => join(folder, file));
}

/** What must be found and what must not: a check that finds nothing any more would pass for ever. */
const FOUND = [
  'leaf.guestFrame & 511',
  'mask | gfn',
  'frameOf(address) >>> 3',
  '(frame ?? 0) >>> 9',
  'frames[i] & 1',
  '~pfn',
  'address >>= 12',
  '1 << this.#frame',
  `\`\${{ a: \`\${frame >>> 3}\` }}\``,
  'b / c | frame',
];
const NOT_FOUND = [
  'let frame: Gfn | undefined',
  'address >> 12n',
  'address >> BigInt(shift)',
  '(frame % 512) >>> 2',
  'low | frame % 16',
  'frames & 3',
  'permissions.of(gfn) & WRITE',
  'new Map<string, Set<Set<Gfn>>>(frame)',
  '// frame & 1',
  '`frame & 1`',
  '/frame & 1/.test(name)',
  'frame && gfn',
];

for (const sample of FOUND) {
  if (findBitOperators(sample, '').length !== 1) throw new Error(`this check does not find: ${sample}`);
}
for (const sample of NOT_FOUND) {
  if (findBitOperators(sample, '').length !== 0) throw new Error(`this check finds: ${sample}`);
}

const packages = join(root, 'packages');
const found = readdirSync(packages)
  .flatMap((name) => sourcesUnder(join(packages, name, 'src')))
  .sort()
  .flatMap((file) => findBitOperators(readFileSync(file, 'utf8'), relative(root, file)));
for (const line of found) console.error(line);
process.exitCode = found.length === 0 ? 0 : 1;
