import { type AttackResult, type AttackStep, exceptionText } from '@heki/machine';
import { hex } from '@heki/physical-memory';
import type { Place } from '@heki/symbols';
import type { Colours } from '../colours.ts';
import { placeText, regionText, symbolText } from '../names/place-text.ts';
import type { Screen } from '../report/screen.ts';
import { table } from '../report/table.ts';
import { attackedBytesLines } from './attacked-bytes.ts';
import type { ProtectReport, ReportedContents } from './report.ts';

/** The attacks side by side. */
export function attackTable(
  attacks: ProtectReport['attacks'],
  { names, bytes }: ReportedContents,
  screen: Screen,
): string[] {
  const { colours } = screen;
  const cell = (result: AttackResult, legitimate: boolean): string[] => {
    const attacked = bytes.get(result);
    const lines = [...details(result), ...(attacked === undefined ? [] : attackedBytesLines(attacked))];
    return [headline(result, legitimate, colours), ...lines.map(colours.dim)];
  };
  const rows = attacks.map(({ attack, without, with: protectedResult }) => {
    const { title, legitimate = false } = attack;
    const target = protectedResult.target ?? without.target;
    return [
      target === undefined
        ? title
        : [title, ...[hex(target), targetText(names.kernel.at(target))].map(colours.dim)],
      cell(without, legitimate),
      cell(protectedResult, legitimate),
    ];
  });
  return table({ head: ['attack', 'without Heki', 'with Heki'], rows, ruled: true }, screen);
}

/** As {@link placeText}, without the other address of what is in the direct map. */
function targetText(place: Place): string {
  const { region, alias } = place;
  if (alias === undefined) return placeText(place);
  return `${region}, of ${symbolText(alias.place) ?? regionText(alias.place)}`;
}

function headline(
  { outcome }: AttackResult,
  legitimate: boolean,
  { green, red, yellow, bold }: Colours,
): string {
  switch (outcome) {
    case 'succeeded':
      return legitimate ? green('✔ works') : red(bold('✘ succeeded'));
    case 'blocked':
      return legitimate ? red(bold('✘ blocked')) : green('✔ blocked');
    case 'livelock':
      return yellow('↻ livelock');
    case 'crashed':
      return red(bold('✘ the guest crashed'));
    case 'not-tried':
      return yellow('? not tried');
  }
}

function details({ outcome, by, decisive, reason }: AttackResult): string[] {
  if (outcome === 'not-tried') return [reason];
  const exception = decisive?.exception;
  if (decisive === undefined || exception === undefined) return outcome === 'succeeded' ? [] : [reason];
  const text = exceptionText(exception);
  const exit = decisive.injected ? decisive.answered?.exit : undefined;
  switch (exit?.reason) {
    case undefined:
      return processorDetails(decisive, by, text);
    case 'ept-violation':
      return [`EPT violation ${qualificationText(exit.qualification)}`, `becomes ${text}`];
    case 'nested-page-fault':
      return [`#NPF ${hex(exit.info1)}`, `becomes ${text}`];
    case 'mov-to-cr':
      return by === 'cr-pin'
        ? [`exit for mov to cr${exit.cr}, pinned`, `becomes ${text}`]
        : [`exit for mov to cr${exit.cr}`, ...processorDetails(decisive, by, text)];
    default:
      return [`exit ${exit?.reason}`, `becomes ${text}`];
  }
}

/** What the processor's own rules did, and which of them. */
function processorDetails({ broken }: AttackStep, by: AttackResult['by'], text: string): string[] {
  if (by === 'guest-page-tables') return [`${text} by page tables`];
  if (by === 'processor') return [`${text} by the processor`, ...(broken === undefined ? [] : [broken.text])];
  return [text];
}

/** An exit qualification (SDM 3C table 28-7) with the access and the rights of the page: `0x1aa (write, page r-xu)`. */
function qualificationText(qualification: number): string {
  const names = (bits: readonly [number, string][], none: string): string[] =>
    bits.map(([bit, name]) => ((qualification & (1 << bit)) === 0 ? none : name));
  const access = names(
    [
      [0, 'read'],
      [1, 'write'],
      [2, 'fetch'],
    ],
    '',
  ).filter((name) => name !== '');
  const rights = names(
    [
      [3, 'r'],
      [4, 'w'],
      [5, 'x'],
      [6, 'u'],
    ],
    '-',
  );
  return `${hex(qualification)} (${access.join(' ')}, page ${rights.join('')})`;
}
