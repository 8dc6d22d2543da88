import { count } from '../report/words.ts';
import { tourRoute } from './tour-panel.tsx';
import { TOURS } from './tours/index.ts';

/** The list of tours. */
export function ToursPage() {
  return (
    <main>
      <h1>Guided tours</h1>
      <p>
        Each is a dozen steps through real bytes: the kernel that comes with heki, and kernels that boot in
        this page. Leave the path at any step, edit a bit, look around: the next step leads back.
      </p>
      <ol class="tours">
        {TOURS.map((tour) => (
          <li key={tour.id}>
            <h2>
              <a href={tourRoute(tour, 0)}>{tour.title}</a>
            </h2>
            <p>{tour.about}</p>
            <p class="quiet">{count(tour.steps.length, 'step')}</p>
          </li>
        ))}
      </ol>
    </main>
  );
}
