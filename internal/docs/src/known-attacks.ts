import { PUBLISHED_ATTACKS, type Standing } from '@heki/attacks';
import { markdownTable, type Page } from './page.ts';

/** Every known attack, and where it stands. */
export const knownAttacksPage: Page = { file: 'docs/known-attacks.md', parts: { count, attacks } };

function count(): string {
  const of = (kind: Standing['kind']): number =>
    PUBLISHED_ATTACKS.filter(({ standing }) => standing.kind === kind).length;
  return `${PUBLISHED_ATTACKS.length} attacks: ${of('tried')} are tried on every machine, ${of('elsewhere')} are shown by another part of the project, ${of('not expressible')} cannot be expressed, and ${of('out of scope')} are out of scope.`;
}

function attacks(): string {
  return markdownTable(
    ['', 'attack', 'stands'],
    PUBLISHED_ATTACKS.map(({ title, standing }, index) => [String(index + 1), title, told(standing)]),
  );
}

function told(standing: Standing): string {
  switch (standing.kind) {
    case 'tried': {
      const names = standing.by.map((name) => `[${name}](attacks.md#${name})`).join(', ');
      return standing.note === undefined ? names : `${names}; ${standing.note}`;
    }
    case 'elsewhere':
      return `elsewhere: ${standing.where}`;
    default:
      return `*${standing.kind}*: ${standing.why}`;
  }
}
