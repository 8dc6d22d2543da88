import type { Defect } from '@heki/series';

export const B_A9: Defect = {
  title: 'The last export of a name counts',
  happens:
    'A module that exports a name which another exports already takes its place: a signed module that is loaded later is linked to it.',
  why: 'Symbols are looked up in a table that grows with every module, from its end on; LVBS has none of its own and leaves symbols to VTL0.',
  mend: 'An image that exports a name which is exported already is refused, as by Linux (verify_exported_symbols).',
};
