import { expect, test } from "vitest";

import { NatsNews } from "../../coordinator/natsNews.js";

function listenTo(news: NatsNews): readonly string[] {
  const heard: string[] = [];
  news.listen({
    onConnection: (isUp) => heard.push(isUp ? "up" : "down"),
    onEmptied: (what) => heard.push(JSON.stringify(what)),
  });
  return heard;
}

test("what NATS told before anybody listened is told then, and what comes later at once", () => {
  const news = new NatsNews();
  news.onConnection(false);
  news.onEmptied({ jobs: true, logs: false });
  news.onEmptied({ jobs: false, logs: true });
  const heard = listenTo(news);
  expect(heard).toEqual(["down", '{"jobs":true,"logs":true}']);
  news.onConnection(true);
  news.onEmptied({ jobs: true, logs: false });
  expect(heard.slice(2)).toEqual(["up", '{"jobs":true,"logs":false}']);
});

test("an outage that is over, and a loss from before anything was read, are not told", () => {
  const news = new NatsNews();
  news.onConnection(false);
  news.onConnection(true);
  news.onEmptied({ jobs: true, logs: true });
  news.forgetEmptied();
  expect(listenTo(news)).toEqual([]);
});
