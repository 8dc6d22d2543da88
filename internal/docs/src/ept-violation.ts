import { describeEptEntry, describeQualification, type EptFault, EptLow, type EptWalk } from '@heki/ept';
import { frameOf, type Gpa, pageOffset, virtualAddress } from '@heki/physical-memory';
import { SecondLevelAccess } from '@heki/second-level';
import { type Access, describeEntry, EntryLow, type Level, type Translation } from '@heki/x86';
import { createGuest, type DocumentedGuest } from './guest.ts';
import type { Page } from './page.ts';

export const eptViolationPage: Page = {
  file: 'docs/ept-violation.md',
  parts: { 'store-to-text': storeToText, 'page-table': throughReadOnlyPageTable, fetch: fetchFromData },
};

/** Where Linux has its text. */
const TEXT = virtualAddress(0xffff_ffff_8100_0018n);
const WRITE: Access = { kind: 'write', mode: 'supervisor' };
const FETCH: Access = { kind: 'fetch', mode: 'supervisor' };
const GUEST_ENTRY =
  SecondLevelAccess.READ | SecondLevelAccess.PAGING_STRUCTURE | SecondLevelAccess.LINEAR_VALID;
const MBEC = { modeBasedExecute: true };
const { P, RW } = EntryLow;

function storeToText(): string {
  const guest = createGuest({
    va: TEXT,
    guestRights: P | RW,
    accessedDirty: true,
    controls: MBEC,
    page: { rights: EptLow.R | EptLow.X | EptLow.XU },
  });
  return story(guest, WRITE, 'write at CPL 0 to 0xffffffff81000018');
}

function throughReadOnlyPageTable(): string {
  const guest = createGuest({
    va: TEXT,
    guestRights: P | RW,
    accessedDirty: true,
    controls: MBEC,
    pageTable: { rights: EptLow.R | EptLow.XU },
  });
  return story(guest, WRITE, 'write at CPL 0 to 0xffffffff81000018');
}

function fetchFromData(): string {
  const guest = createGuest({
    va: TEXT,
    guestRights: P | RW,
    accessedDirty: true,
    controls: MBEC,
    page: { rights: EptLow.R | EptLow.W | EptLow.XU },
  });
  return story(guest, FETCH, 'fetch at CPL 0 from 0xffffffff81000018');
}

/** The two-dimensional walk line by line, from the linear address to the exit. */
function story(guest: DocumentedGuest, access: Access, title: string): string {
  const lines: string[] = [title, ''];
  const translation = guest.translate(access);
  for (const { level, address, low, high } of translation.steps) {
    lines.push(`guest ${describeEntry(level, low, high)}`);
    lines.push(
      ...secondLevel(guest.ept.explain(frameOf(address), pageOffset(address), GUEST_ENTRY), address),
    );
  }
  lines.push(...ending(guest, access, translation));
  return `\`\`\`\n${lines.join('\n')}\n\`\`\``;
}

function ending(guest: DocumentedGuest, access: Access, { outcome }: Translation<EptFault>): string[] {
  if (outcome.kind !== 'second-level') return [`=> ${outcome.kind}`];
  const { gpa, fault } = outcome;
  const kind = access.kind === 'fetch' ? SecondLevelAccess.FETCH : SecondLevelAccess.WRITE;
  const asked = outcome.at === 'final' ? kind | SecondLevelAccess.LINEAR_VALID : GUEST_ENTRY;
  const what = outcome.at === 'final' ? 'the page itself' : 'the next guest entry';
  return [
    what,
    ...secondLevel(guest.ept.explain(frameOf(gpa), pageOffset(gpa), asked), gpa),
    '',
    'EPT violation, basic exit reason 48',
    `  guest-physical address 0x${gpa.toString(16)}`,
    `  guest-linear address   0x${TEXT.toString(16)}`,
    fault.kind === 'ept-violation'
      ? `  exit qualification     ${describeQualification(fault.qualification)}`
      : `  ${fault.kind}`,
  ];
}

/** One walk of EPT. */
function secondLevel(walk: EptWalk, gpa: Gpa): string[] {
  const entries = walk.steps.map(({ level, entry }) => {
    const halves = { low: Number(entry & 0xffff_ffffn), high: Number(entry >> 32n) };
    return `    ${describeEptEntry(level as Level, halves)}`;
  });
  const end = walk.allowed
    ? `host-physical 0x${(walk.pfn * 4096 + pageOffset(gpa)).toString(16)}`
    : `refused: ${walk.reason}`;
  return [`  at guest-physical 0x${gpa.toString(16)}`, ...entries, `    ${end}`];
}
