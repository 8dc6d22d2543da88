import type { Defect } from '@heki/series';

export const B_H3: Defect = {
  title: 'A list that leads back to itself exhausts the host',
  happens: 'The host allocates one 4 KiB buffer after the other until it has no memory left.',
  why: 'The list is followed to a zero link; neither length nor repetition is checked, and the buffers are not accounted to the VM.',
  mend: 'A page that comes again is refused, and so is a list longer than a stated bound.',
};
