import type { Timeline } from '../model/inspector-model.ts';

/** Events that are listed before and behind the one that is chosen. */
const AROUND = 12;

interface EventListProps {
  readonly timeline: Timeline;
  readonly at: number;
  readonly onGo: (at: number) => void;
}

/** The events around one: of thousands only these are in the page. */
export function EventList({ timeline: { lanes, events }, at, onGo }: EventListProps) {
  const first = Math.max(0, Math.min(at - AROUND, events.length - 2 * AROUND - 1));
  return (
    <section aria-labelledby="events-title">
      <h2 id="events-title">Events</h2>
      <ol class="events" start={first}>
        {events.slice(first, first + 2 * AROUND + 1).map(({ lane, text, isStep }, index) => {
          const number = first + index;
          return (
            <li key={number} class={isStep ? 'boot-step' : undefined}>
              <button
                type="button"
                aria-current={number === at ? 'step' : undefined}
                onClick={() => onGo(number)}
              >
                <span class="event-number">{number}</span>
                <span class={`lane lane-${lane}`}>{lanes[lane]}</span>
                <span class="event-text">{text}</span>
              </button>
            </li>
          );
        })}
      </ol>
    </section>
  );
}
