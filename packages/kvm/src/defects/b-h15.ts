import type { Defect } from '@heki/series';

export const B_H15: Defect = {
  title: 'A write of a pinned register through the emulator goes wrong',
  happens:
    'It becomes a double fault; with the denial exit enabled it completes as if it had succeeded and a #GP arrives later.',
  why: 'The check injects #GP itself and returns non-zero, for which the emulator raises #GP again; after an exit it returns the value that means "continue".',
  mend: 'The emulator gets one #GP(0) and the instruction does not complete.',
};
