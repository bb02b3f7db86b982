// One library's users at work: npm's consul, the present one and the last with locks. Prints one JSON list a case.
"use strict";
const [, , folder, port] = process.argv;
const path = require("path");
const module_ = (name) => require(path.join(folder, "node_modules", name));
const DEADLINE_MS = 20000;

const report = (name, good, detail) => console.log(JSON.stringify([name, Boolean(good), good ? "" : JSON.stringify(detail)]));
const equal = (name, got, wanted) => report(name, JSON.stringify(got) === JSON.stringify(wanted), { got, wanted });

async function until(holds) {
  const end = Date.now() + DEADLINE_MS;
  while (Date.now() < end) {
    const found = await holds();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return null;
}

async function keysAndSessions(consul) {
  equal("set", await consul.kv.set("js/a", "hello"), true);
  equal("get", (await consul.kv.get("js/a")).Value, "hello");
  equal("get raw", String(await consul.kv.get({ key: "js/a", raw: true })), "hello");
  report("missing", !(await consul.kv.get("js/none")));
  report("stale cas", !(await consul.kv.set({ key: "js/a", value: "x", cas: "1" })));
  equal("stale cas wrote nothing", (await consul.kv.get("js/a")).Value, "hello");
  equal("keys", await consul.kv.keys("js/"), ["js/a"]);
  const session = await consul.session.create({ name: "js", ttl: "60s", lockdelay: "0s" });
  equal("acquire", await consul.kv.set({ key: "js/lock", value: "me", acquire: session.ID }), true);
  equal("session get", (await consul.session.get(session.ID)).Name, "js");
  equal("renew", (await consul.session.renew(session.ID))[0].ID, session.ID);
  report("session list", (await consul.session.list()).some((s) => s.ID === session.ID));
  await consul.session.destroy(session.ID);
  report("the lock is free", !(await consul.kv.get("js/lock")).Session);
  await consul.kv.del({ key: "js/", recurse: true });
  report("deleted", !(await consul.kv.get({ key: "js/", recurse: true })));
}

async function transactionsAndEvents(consul) {
  const value = Buffer.from("1").toString("base64");
  const done = await consul.transaction.create([{ KV: { Verb: "set", Key: "js/txn", Value: value } }]);
  equal("transaction", [done.Errors, done.Results[0].KV.Key], [null, "js/txn"]);
  let refused = null;
  try {
    await consul.transaction.create([{ KV: { Verb: "cas", Key: "js/txn", Index: 1, Value: value } }]);
  } catch (error) {
    refused = error.statusCode ?? error.response?.statusCode ?? error.message;
  }
  report("a stale transaction is refused", String(refused).includes("409") || /conflict/i.test(String(refused)), refused);
  const event = await consul.event.fire("js-event", "payload");
  report("event", (await consul.event.list("js-event")).some((e) => e.ID === event.ID));
}

async function registry(consul) {
  await consul.agent.service.register({ name: "js-web", port: 80, check: { ttl: "60s", status: "passing" } });
  report("service in the catalog", await until(async () => (await consul.health.service({ service: "js-web", passing: true })).length));
  equal("catalog", (await consul.catalog.service.nodes("js-web"))[0].ServicePort, 80);
  report("agent services", (await consul.agent.services())["js-web"]);
  await consul.agent.service.deregister("js-web");
  report("leader", (await consul.status.leader()).includes(":"));
  report("self", (await consul.agent.self()).Config.NodeName);
}

async function watches(consul) {
  const watch = consul.watch({ method: consul.kv.get, options: { key: "js/watched" }, backoffFactor: 100 });
  const seen = new Promise((resolve) => watch.on("change", (data) => data && data.Value === "now" && resolve(data)));
  watch.on("error", () => {});
  await consul.kv.set("js/watched", "before");
  await consul.kv.set("js/watched", "now");
  const late = new Promise((resolve) => setTimeout(resolve, DEADLINE_MS, null).unref());
  report("watch", await Promise.race([seen, late]));
  watch.end();
}

function locks(consul) {
  // The first holder lets go, then the second comes in.
  return new Promise((resolve) => {
    const order = [];
    const first = consul.lock({ key: "js/old-lock", session: { ttl: "60s", lockdelay: "0s" } });
    const second = consul.lock({ key: "js/old-lock", session: { ttl: "60s", lockdelay: "0s" } });
    first.on("acquire", () => {
      order.push("first");
      second.acquire();
      setTimeout(() => first.release(), 200);
    });
    first.on("release", () => order.push("released"));
    second.on("acquire", () => {
      order.push("second");
      second.release();
    });
    second.on("end", () => {
      equal("locks follow each other", order, ["first", "released", "second"]);
      resolve();
    });
    for (const lock of [first, second]) lock.on("error", (error) => report("lock error", false, String(error)));
    setTimeout(() => { report("locks in time", false, order); resolve(); }, DEADLINE_MS).unref();
    first.acquire();
  });
}

async function main() {
  const Consul = module_("consul");
  const consul = new Consul({ host: "127.0.0.1", port });
  for (const part of [keysAndSessions, transactionsAndEvents, registry, watches]) {
    try {
      await part(consul);
    } catch (error) {
      report(`${part.name} ran to the end`, false, String(error));
    }
  }
  const old = module_("consul-with-locks")({ host: "127.0.0.1", port, promisify: true });
  await locks(old);
  process.exit(0);
}

main();
