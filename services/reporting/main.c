// reporting: the process. See reporting.h for what it is for.
#include "reporting.h"

int main(int argc, char **argv)
{
    return service_main(&reporting_service, argc, argv);
}
