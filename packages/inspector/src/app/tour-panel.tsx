import { routeTo } from './route.ts';
import type { Tour } from './tour.ts';
import { TOURS } from './tours/index.ts';

/** A step of a tour, with its place. */
export function tourRoute({ id, steps }: Tour, number: number): string {
  const hash = steps[number]?.hash ?? routeTo('tours');
  return `${hash}${hash.includes('?') ? '&' : '?'}tour=${id}.${number}`;
}

/** The step that a route is in, if it is in one: `walk.3`. */
export function tourAt(
  parameters: URLSearchParams,
): { readonly tour: Tour; readonly number: number } | undefined {
  const [id, digits] = (parameters.get('tour') ?? '').split('.');
  const tour = TOURS.find((one) => one.id === id);
  const number = Number(digits);
  return tour?.steps[number] === undefined ? undefined : { tour, number };
}

/** What the guide says, and the way on. */
export function TourPanel({ tour, number }: { readonly tour: Tour; readonly number: number }) {
  const last = tour.steps.length - 1;
  return (
    <section class="tour" aria-label={`Tour: ${tour.title}`}>
      <p class="quiet">
        <strong>{tour.title}</strong>, step {number + 1} of {last + 1}
      </p>
      <p class="guide" role="status">
        {tour.steps[number]?.text}
      </p>
      <p class="quiet">
        Look for: <q>{tour.steps[number]?.shows}</q>
      </p>
      <p class="ways">
        {number > 0 && <a href={tourRoute(tour, number - 1)}>Back</a>}
        {number < last && (
          <a class="onward" href={tourRoute(tour, number + 1)}>
            Next
          </a>
        )}
        <a href={routeTo('tours')}>{number === last ? 'All tours' : 'Leave the tour'}</a>
      </p>
    </section>
  );
}
