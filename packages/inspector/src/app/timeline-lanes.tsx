import type { Timeline } from '../model/inspector-model.ts';

interface TimelineLanesProps {
  readonly timeline: Timeline;
  readonly at: number;
  readonly onGo: (at: number) => void;
}

const ROW = 26;

/** Every event in the lane of who reports it. The buttons below do the same by keyboard, in words. */
export function TimelineLanes({ timeline: { lanes, events }, at, onGo }: TimelineLanesProps) {
  const height = lanes.length * ROW;
  const width = 1000;
  const x = (index: number): number => ((index + 0.5) / events.length) * width;
  return (
    <div class="lanes">
      <ul aria-hidden="true">
        {lanes.map((lane, index) => (
          <li key={lane} class={`lane-${index}`}>
            {lane}
          </li>
        ))}
      </ul>
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: buttons below go to each event */}
      <svg
        height={height}
        viewBox={`0 0 ${width} ${height}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Timeline of ${events.length} events in ${lanes.length} lanes, at event ${at}`}
        onClick={(event) => {
          const { left, width: shown } = event.currentTarget.getBoundingClientRect();
          const index = Math.floor(((event.clientX - left) / shown) * events.length);
          onGo(Math.max(0, Math.min(index, events.length - 1)));
        }}
      >
        {lanes.map((lane, index) => (
          <line key={lane} x1={0} x2={width} y1={(index + 0.5) * ROW} y2={(index + 0.5) * ROW} class="rail" />
        ))}
        {events.map(({ lane, isStep }, index) => (
          <rect
            key={`${index} ${lane}`}
            class={`lane-${lane}${isStep ? ' step-mark' : ''}`}
            x={x(index) - 1.5}
            y={lane * ROW + (isStep ? 2 : 7)}
            width={3}
            height={isStep ? ROW - 4 : ROW - 14}
          />
        ))}
        <line x1={x(at)} x2={x(at)} y1={0} y2={height} class="cursor" />
      </svg>
    </div>
  );
}
