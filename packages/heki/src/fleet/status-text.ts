import type { FleetStatus } from '@heki/fleet';
import { count, number } from '../quantity.ts';

/** The status for people: the results first. */
export function statusText(status: FleetStatus): string[] {
  const { waiting, waitingForOthers, active, cancelled, setAside, results, lastMinute, reasons } = status;
  const { pass, fail, unreadable, changed } = results;
  const left = waiting + active;
  return [
    `${count(pass + fail + unreadable + changed, 'result')}: ${number(pass)} pass, ${number(fail)} fail, ${number(unreadable)} unreadable, ${number(changed)} changed`,
    `${number(waiting)} waiting, ${number(active)} being done, ${number(cancelled)} cancelled, ${number(setAside)} set aside`,
    ...(lastMinute > 0 ? [`${number(lastMinute)} in the last minute${remaining(left, lastMinute)}`] : []),
    ...Object.entries(waitingForOthers).map(
      ([version, jobs]) => `${number(jobs)} of them wait for workers of heki ${version}`,
    ),
    ...reasons.map(({ reason, count: jobs }) => `  ${number(jobs)} set aside: ${reason}`),
  ];
}

function remaining(left: number, perMinute: number): string {
  if (left === 0) return '';
  const minutes = left / perMinute;
  const time = minutes < 90 ? `${Math.ceil(minutes)} min` : `${(minutes / 60).toFixed(1)} h`;
  return `: at this rate the rest takes ${time}`;
}
