import { type Machine, search } from '@heki/explore';

/** A door with a lock that forgets: whoever knocks twice is let in. */
const door: Machine<number, string> = {
  name: 'door',
  properties: [{ id: 'locked', says: 'no one enters without a key' }],
  initial: () => 0,
  successors(knocks, visit) {
    visit('knock', Math.min(knocks + 1, 2));
    visit('wait', 0);
  },
  key: (knocks) => knocks,
  broken: (knocks) => (knocks === 2 ? ['locked'] : []),
  describe: (action) => action,
};
const { end, states, counterexamples } = search(door);
console.log(
  end,
  states,
  counterexamples.map(({ property, actions }) => `${property}: ${actions.join(', ')}`).join(),
);
