#[service(name = "files", invoker = SerializedInvoker, activate)]
struct Files;
