import { readFileSync } from 'node:fs';

/** A member of an interface, as its source has it. */
export interface Member {
  /** Its name; that of a member of a member has a dot. */
  readonly name: string;
  /** Its declaration on one line, without `readonly` and the semicolon. */
  readonly declaration: string;
  /** What its docstring says, on one line. */
  readonly text: string;
}

/**
 * The members of the exported interface `name` in `file`, as the project's formatter lays them out: members are indented
 * by two more than what holds them.
 *
 * @throws {Error} when the file has no such interface, or nothing in it is understood
 */
export function interfaceMembers(file: string, name: string): Member[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  const heads = [`export interface ${name} `, `export interface ${name}<`];
  const first = lines.findIndex((line) => heads.some((head) => line.startsWith(head)));
  const members = first < 0 ? [] : membersOf(lines.slice(first + 1, lines.indexOf('}', first)), 2);
  if (members.length === 0) throw new Error(`${file} has no interface ${name} that can be read`);
  return members;
}

/**
 * The members of each object type in the exported union `name` in `file`; what else is in the union is left out.
 *
 * @throws {Error} when the file has no such union
 */
export function unionVariants(file: string, name: string): Member[][] {
  const lines = readFileSync(file, 'utf8').split('\n');
  const first = lines.findIndex((line) => line.startsWith(`export type ${name} =`));
  const variants: Member[][] = [];
  for (let at = first + 1; first >= 0 && at < lines.length; at++) {
    const line = lines[at] ?? '';
    if (line.startsWith('  | {')) {
      const end = lines.findIndex((other, index) => index > at && /^ {4}\}/.test(other));
      variants.push(membersOf(lines.slice(at + 1, end), 6));
      at = end;
    }
    if (lines[at]?.endsWith(';')) break;
  }
  if (variants.length === 0) throw new Error(`${file} has no union ${name} that can be read`);
  return variants;
}

/** String literals of the exported union `name` in `file`, with their docstrings. */
export function literalVariants(file: string, name: string): Member[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  const first = lines.findIndex((line) => line.replace(/^export /, '') === `type ${name} =`);
  const members: Member[] = [];
  let doc: string[] = [];
  for (const line of first < 0 ? [] : lines.slice(first + 1)) {
    const literal = /^ {2}\| '([^']*)'/.exec(line)?.[1];
    if (literal === undefined) doc.push(line);
    else {
      members.push({ name: literal, declaration: literal, text: docText(doc) });
      doc = [];
    }
    if (line.endsWith(';')) break;
  }
  if (members.length === 0) throw new Error(`${file} has no union ${name} that can be read`);
  return members;
}

function membersOf(lines: readonly string[], indent: number, prefix = ''): Member[] {
  const pad = ' '.repeat(indent);
  const members: Member[] = [];
  let doc: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? '';
    const trimmed = line.trim();
    if (trimmed === '' || !line.startsWith(pad)) continue;
    if (trimmed.startsWith('/*') || trimmed.startsWith('*') || trimmed.startsWith('//')) {
      doc.push(trimmed);
      continue;
    }
    let end = at;
    while (end < lines.length && !isLastLine(lines[end] ?? '', pad)) end++;
    const declared = lines.slice(at, end + 1);
    const name = /^(?:readonly )?(\w+)/.exec(trimmed)?.[1] ?? '';
    const inner = trimmed.endsWith('{')
      ? membersOf(declared.slice(1, -1), indent + 2, `${prefix}${name}.`)
      : [];
    const declaration = inner.length > 0 ? name : oneLine(declared);
    members.push({ name: `${prefix}${name}`, declaration, text: docText(doc) }, ...inner);
    doc = [];
    at = end;
  }
  return members;
}

/** A member ends with a semicolon at its own indentation, or closes what it opened there. */
function isLastLine(line: string, pad: string): boolean {
  return line.endsWith(';') && line.startsWith(pad) && !line.startsWith(`${pad} `);
}

function oneLine(lines: readonly string[]): string {
  return lines
    .map((line) => line.trim())
    .join(' ')
    .replace(/^readonly /, '')
    .replace(/;$/, '')
    .replace(/\( /g, '(')
    .replace(/,? \)/g, ')');
}

/** A docstring without its stars: `@` tags at its end become sentences, links become code. */
function docText(lines: readonly string[]): string {
  return lines
    .map((line) =>
      line
        .trim()
        .replace(/^\/\*\*?|^\*\/|\*\/$|^\*|^\/\//g, '')
        .replace(/\*\/$/, '')
        .trim(),
    )
    .filter((line) => line !== '')
    .join(' ')
    .replace(/\{@link ([^}]*)\}/g, '`$1`')
    .replace(/\.? @throws \{(\w+)\} /g, '. Throws `$1` ')
    .replace(/^@throws \{(\w+)\} /, 'Throws `$1` ');
}
