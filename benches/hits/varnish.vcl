# Varnish as it comes. {HOST} and {PORT} are the origin's.
vcl 4.1;

backend default {
  .host = "{HOST}";
  .port = "{PORT}";
}
