/** A page of documentation with parts that the model writes. */
export interface Page {
  /** The file, relative to the root of the project. */
  readonly file: string;
  /** What stands between `<!-- NAME -->` and `<!-- /NAME -->`, by NAME, as Markdown. */
  readonly parts: Readonly<Record<string, () => string | Promise<string>>>;
}

/**
 * `text` with every part of the page written anew.
 *
 * @throws {Error} when the markers of a part are missing
 */
export async function writeParts(text: string, page: Page): Promise<string> {
  let written = text;
  for (const [name, generate] of Object.entries(page.parts)) {
    const open = `<!-- ${name} -->\n`;
    const close = `<!-- /${name} -->`;
    const start = written.indexOf(open);
    const end = written.indexOf(close, start);
    if (start < 0 || end < 0) throw new Error(`${page.file} has no part between ${open.trim()} and ${close}`);
    written = `${written.slice(0, start + open.length)}\n${(await generate()).trim()}\n\n${written.slice(end)}`;
  }
  return written;
}

/** A Markdown table. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

/** Lines of text as they stand. */
export function textBlock(lines: readonly string[]): string {
  return `\`\`\`text\n${lines.join('\n')}\n\`\`\``;
}
