import type { Defect } from '@heki/series';

export const B_A1: Defect = {
  title: 'A page of text is opened for whoever asks',
  happens:
    'A request without any state makes a page of text writable, and another makes it executable again: what was written meanwhile is executed.',
  why: 'The list flag `text_poke` of a later draft of the series skips the check for immutable pages (Heki discussion, 2024).',
  mend: 'There is no such request: the guest names states, never bytes.',
};
