import type { Defect } from '@heki/series';

export const B_H19: Defect = {
  title: 'A guest floods the host log',
  happens: 'Every range of every list writes a line.',
  why: 'The messages are not rate-limited.',
  mend: 'They are.',
};
