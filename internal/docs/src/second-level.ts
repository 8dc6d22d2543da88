import {
  EPT_ENTRY_BITS,
  EPT_QUALIFICATION_BITS,
  type EptControls,
  type EptLeafOptions,
  EptLow,
} from '@heki/ept';
import { NPF_INFO1_BITS, nptLeaf } from '@heki/npt';
import type { VirtualAddress } from '@heki/physical-memory';
import { type Access, bitTableMarkdown, EntryLow } from '@heki/x86';
import { ALL_RIGHTS, createGuest, verdictOf } from './guest.ts';
import { markdownTable, type Page } from './page.ts';

const VA = 0x7f00_0000_0000n as VirtualAddress;
/** Bits 9 to 11 of a qualification depend on guest paging alone, and only blur these tables. */
const WITHOUT_ADVANCED = ~0xe00;
const { R, W, X, XU } = EptLow;
const { P, RW, US, A, D } = EntryLow;

export const secondLevelPage: Page = {
  file: 'docs/second-level.md',
  parts: {
    'ept-entry': () => bitTableMarkdown(EPT_ENTRY_BITS),
    'ept-qualification': () => bitTableMarkdown(EPT_QUALIFICATION_BITS),
    mbec: mbecTable,
    'guest-page-tables': guestPageTablesTable,
    'paging-write': pagingWriteTable,
    'npf-info1': () => bitTableMarkdown(NPF_INFO1_BITS),
    gmet: gmetTable,
  },
};

/** Who may fetch from what, for every pair of XS and XU. */
function mbecTable(): string {
  const fetches: readonly [string, Access, number][] = [
    ['CPL 3, user page', { kind: 'fetch', mode: 'user' }, US],
    ['CPL 0, user page, SMEP off', { kind: 'fetch', mode: 'supervisor' }, US],
    ['CPL 0, supervisor page', { kind: 'fetch', mode: 'supervisor' }, 0],
    ['data read', { kind: 'read', mode: 'supervisor' }, 0],
  ];
  const rows = [false, true].flatMap((mbec) =>
    [0, X, XU, X | XU].map((execute) => [
      mbec ? 'on' : 'off',
      execute & X ? '1' : '0',
      execute & XU ? '1' : '0',
      ...fetches.map(([, access, user]) =>
        verdictOf(
          createGuest({
            va: VA,
            guestRights: P | RW | user,
            accessedDirty: false,
            controls: { modeBasedExecute: mbec },
            page: { rights: R | W | execute },
          }).translate(access),
          WITHOUT_ADVANCED,
        ),
      ),
    ]),
  );
  return markdownTable(['MBEC', 'X (XS)', 'XU', ...fetches.map(([name]) => name)], rows);
}

const GUEST_FLAGS: readonly [string, number][] = [
  ['A=0 D=0', 0],
  ['A=1 D=0', A],
  ['A=1 D=1', A | D],
];

/** Reading and writing a page whose guest PTE lies in a page with these EPT rights. */
function throughPageTable(
  pageTable: EptLeafOptions | undefined,
  accessedDirty: boolean,
  controls: EptControls = {},
): string[] {
  return GUEST_FLAGS.flatMap(([, guestFlags]) =>
    (['read', 'write'] as const).map((kind) =>
      verdictOf(
        createGuest({
          va: VA,
          guestRights: P | RW | US,
          guestFlags,
          accessedDirty,
          controls,
          pageTable,
        }).translate({ kind, mode: 'supervisor' }),
        WITHOUT_ADVANCED,
      ),
    ),
  );
}

const FLAG_COLUMNS = GUEST_FLAGS.flatMap(([name]) => [`${name}, read`, `${name}, write`]);

function guestPageTablesTable(): string {
  const rights: readonly [string, number][] = [
    ['not present', 0],
    ['R', R],
    ['RX', R | X | XU],
    ['RW', R | W],
    ['RWX', ALL_RIGHTS],
  ];
  const rows = [false, true].flatMap((accessedDirty) =>
    rights.map(([name, bits]) => [
      accessedDirty ? 'on' : 'off',
      name,
      ...throughPageTable(bits === 0 ? undefined : { rights: bits }, accessedDirty),
    ]),
  );
  return markdownTable(['EPT A/D', 'page-table page', ...FLAG_COLUMNS], rows);
}

function pagingWriteTable(): string {
  const rows = [false, true].flatMap((accessedDirty) =>
    [
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ].map(([control = false, bit = false]) => [
      accessedDirty ? 'on' : 'off',
      control ? '1' : '0',
      bit ? '1' : '0',
      ...throughPageTable({ rights: R, pagingWrite: bit }, accessedDirty, { pagingWrite: control }),
    ]),
  );
  return markdownTable(['EPT A/D', 'control', 'bit 58', ...FLAG_COLUMNS], rows);
}

function gmetTable(): string {
  const yes = (value: boolean): string => (value ? 'yes' : 'no');
  const rows = [true, false].flatMap((gmet) =>
    [
      [false, false],
      [false, true],
      [true, false],
      [true, true],
    ].map(([supervisorExecute = false, userExecute = false]) => {
      const leaf = nptLeaf({ read: true, write: false, supervisorExecute, userExecute }, { gmet });
      const { granted } = leaf;
      return [
        gmet ? 'on' : 'off',
        yes(supervisorExecute),
        yes(userExecute),
        (leaf.bits.low & EntryLow.US) !== 0 ? '1' : '0',
        leaf.bits.high !== 0 ? '1' : '0',
        yes(granted.supervisorExecute),
        yes(granted.userExecute),
        leaf.weakened ? 'yes' : '',
      ];
    }),
  );
  return markdownTable(
    [
      'GMET',
      'wanted: supervisor',
      'wanted: user',
      'U/S',
      'NX',
      'granted: supervisor',
      'granted: user',
      'weakened',
    ],
    rows,
  );
}
