import { expect, it } from 'vitest';
import { headingPlace } from './heading-place.ts';

it.each([
  ["Which page tables are the kernel's", 'which-page-tables-are-the-kernels'],
  ['B-H1: a write, or two', 'b-h1-a-write-or-two'],
  ['`store-text` (KVM)', 'store-text-kvm'],
  ['Metrics, traces and logs', 'metrics-traces-and-logs'],
])('%s', (heading, place) => {
  expect(headingPlace(heading)).toBe(place);
});
