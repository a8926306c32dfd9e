/** What happens over and over is reported the first, tenth, hundredth ... time: a guest cannot make reports pile up. */
export const isMilestone = (times: number): boolean =>
  times === 1 || times === 10 || times === 100 || times === 1000 || times === 10_000;
