import { LIMITS } from 'heki';
import { markdownTable, type Page } from './page.ts';

/** A table of limits, with the commands where they are not all alike. */
function limits(heading: keyof typeof LIMITS): string {
  const rows = LIMITS[heading];
  const differ = new Set(rows.map(({ commands }) => commands.join())).size > 1;
  return markdownTable(
    ['', 'at most', 'what is usual', ...(differ ? ['commands'] : [])],
    rows.map(({ what, most, usual = '', commands }) => [
      what,
      most,
      usual,
      ...(differ ? [commands.map((name) => `\`${name}\``).join(', ')] : []),
    ]),
  );
}

/** How much of what the command takes. */
export const limitsPage: Page = {
  file: 'docs/limits-of-input.md',
  parts: {
    files: () => limits('files'),
    dumps: () => limits('dumps'),
    contents: () => limits('contents'),
  },
};
