import type { InterleavedAccess, InterleavedRequest } from './interleaved-actions.ts';

/** What a processor, or the host, does in one go. */
export type Deed =
  /** A whole access; with `stands` only as far as its first fault, with which the processor stands there. */
  | {
      readonly kind: 'access';
      readonly cpu: number;
      readonly access: InterleavedAccess;
      readonly stands: boolean;
    }
  /** The fault with which a processor stands is mapped, or found stale. */
  | { readonly kind: 'go-on'; readonly cpu: number }
  /** A whole request, with nothing between. */
  | { readonly kind: 'ask'; readonly cpu: number; readonly request: InterleavedRequest }
  /** A processor loses all that it has cached. */
  | { readonly kind: 'evict'; readonly cpu: number }
  /** The host's memory management takes the leaves of the region away, as when it moves pages (MMU notifier). */
  | { readonly kind: 'invalidate' };

/** A step of a story. */
export type Step =
  | { readonly kind: 'deed'; readonly deed: Deed }
  /** A processor begins a request, which goes on to its first point. */
  | { readonly kind: 'begin'; readonly cpu: number; readonly request: InterleavedRequest }
  /** The request that is under way goes on to a point, perhaps the one where it is. */
  | { readonly kind: 'at'; readonly point: number; readonly deed: Deed }
  /** The request that is under way goes on to its end. */
  | { readonly kind: 'return' };

function describeDeed(deed: Deed): string {
  switch (deed.kind) {
    case 'access':
      return `processor ${deed.cpu} ${deed.access.name}${deed.stands ? ', and stands at its fault' : ''}`;
    case 'go-on':
      return `processor ${deed.cpu} goes on with its fault`;
    case 'ask':
      return `processor ${deed.cpu} asks for ${deed.request.name}`;
    case 'evict':
      return `processor ${deed.cpu} loses what it has cached`;
    case 'invalidate':
      return "the host's memory management takes the leaves away";
  }
}

/** A step as a line of a story. */
export function describeStep(step: Step): string {
  switch (step.kind) {
    case 'deed':
      return describeDeed(step.deed);
    case 'begin':
      return `processor ${step.cpu} begins to ask for ${step.request.name}`;
    case 'at':
      return `at point ${step.point + 1} of the request ${describeDeed(step.deed)}`;
    case 'return':
      return 'the request returns';
  }
}
