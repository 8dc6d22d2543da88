import type { Defect } from '@heki/series';

export const B_H9: Defect = {
  title: 'The check for 1 GiB pages reads past an array',
  happens:
    'In a memslot smaller than 1 GiB whose start is aligned to 1 GiB, an attribute change that leaves it uniform reads beyond its array of 2 MiB flags: what KASAN reported to the authors.',
  why: 'The head of the range is looked at when its 1 GiB region begins in the slot, without asking whether it also ends there.',
  mend: 'A region that the slot does not contain as a whole is not looked at; it can have no such leaf anyway.',
  notShown: 'What the kernel would read there: the model takes it as zero and goes on.',
};
